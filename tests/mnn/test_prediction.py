from __future__ import annotations

import csv
import shutil

import cv2
import numpy as np
import pytest
import torch

from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.formats import read_predictions
from facebench.geometry import geodesic_distance
from facebench.geometry.crops import invert_transform, transform_points
from facebench.mnn.data import crop_to_face
from facebench.mnn.prediction import Predictor, folded, predict_dataset, predict_images
from facebench.protocols import check_predictions

ABOUT = {"method": "Tiny", "training_data": "none"}


@pytest.fixture
def network(tiny):
    """A network with norms that do something, so that folding them is no identity."""
    network = tiny()
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.2)
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return network


@pytest.fixture
def predictor(network):
    return Predictor(network)


def images_of(rendered, folder, rows=(0, 1, 2)):
    """Write images and a table of boxes as a user has them."""
    folder.mkdir()
    lines = []
    for row in rows:
        name = f"{rendered.ids[row]}.png"
        cv2.imwrite(str(folder / name), rendered.decode_image(row)[..., ::-1])
        lines.append([name, *rendered.boxes["landmarks"][row]])
    table = folder / "boxes.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "x_min", "y_min", "x_max", "y_max"], *lines])
    return table


def test_folding_the_norms_is_the_same_function(network):
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded(network).modules())
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for name, value in network(images).items():
            torch.testing.assert_close(folded(network)(images)[name], value, rtol=1e-4, atol=1e-4)


def test_predictions_fit_their_dataset(predictor, rendered, tmp_path):
    target = tmp_path / "predictions.h5"
    assert predict_dataset(predictor, rendered, target, **ABOUT) == 24
    read = read_predictions(target)
    assert (read.dataset, read.method, read.scheme, read.box) == ("rendered", "Tiny", "ibug68", "landmarks")
    assert not check_predictions(read, rendered)
    assert list(read.ids) == list(rendered.ids)
    assert ((read.visibility >= 0) & (read.visibility <= 1)).all()


def test_answers_do_not_depend_on_the_batch(predictor, rendered, tmp_path):
    found = []
    for batch in (1, 7, 64):
        target = tmp_path / f"{batch}.h5"
        predict_dataset(predictor, rendered, target, batch=batch, **ABOUT)
        found.append(read_predictions(target).landmarks)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1 / 64)


def test_points_come_back_to_the_pixels_of_the_image(predictor, rendered):
    boxes = rendered.boxes["landmarks"][:3]
    cuts = [predictor.crop(rendered.decode_image(row), boxes[row]) for row in range(3)]
    crops, transforms = (np.stack(part) for part in zip(*cuts, strict=True))
    answers = predictor.ask(crops, transforms)
    with torch.no_grad():
        seen = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
        inside = predictor.network(seen)["points"].numpy()
    back = transform_points(inside, invert_transform(crop_to_face(boxes, 32)))
    np.testing.assert_allclose(answers.landmarks, back, atol=1 / 256)


def test_mirroring_both_ways_gives_mirrored_answers(tiny, rendered):
    from facebench.geometry.crops import mirror_face

    both = Predictor(tiny(), mirror=True)
    crop, _ = both.crop(rendered.decode_image(0), rendered.boxes["landmarks"][0])
    identity = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    one, other = (both.ask(picture[None], identity) for picture in (crop, crop[:, ::-1]))
    states = np.zeros((1, 68), np.uint8)
    points, _, rotation = mirror_face(other.landmarks, states, other.rotation, "ibug68", 32)
    np.testing.assert_allclose(points, one.landmarks, atol=1 / 100)
    assert geodesic_distance(rotation, one.rotation)[0] < 0.05
    np.testing.assert_allclose(other.visibility[:, both.flip], one.visibility, atol=1e-3)


def test_only_the_box_is_used_never_an_annotation(predictor, rendered, tmp_path, monkeypatch):
    def forbidden(*_):
        msg = "an annotation was read"
        raise AssertionError(msg)

    monkeypatch.setattr(type(rendered), "annotation", forbidden)
    monkeypatch.setattr(type(rendered), "annotations", property(forbidden))
    monkeypatch.setattr(type(rendered), "rotation", property(forbidden))
    predict_dataset(predictor, rendered, tmp_path / "p.h5", **ABOUT)


def test_an_interrupted_run_goes_on_where_it_was(predictor, rendered, tmp_path, monkeypatch):
    whole, target = tmp_path / "whole.h5", tmp_path / "p.h5"
    predict_dataset(predictor, rendered, whole, batch=4, **ABOUT)

    def stop_after_two(items, total, title):
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        predict_dataset(predictor, rendered, target, batch=4, progress=stop_after_two, **ABOUT)
    assert not target.exists()
    asked = []
    ask = Predictor.ask
    monkeypatch.setattr(Predictor, "ask", lambda self, c, t: asked.append(len(c)) or ask(self, c, t))
    predict_dataset(predictor, rendered, target, batch=4, **ABOUT)
    assert sum(asked) == 24 - 8
    np.testing.assert_array_equal(read_predictions(target).landmarks, read_predictions(whole).landmarks)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_what_another_network_began_is_not_used(predictor, rendered, tiny, tmp_path):
    target = tmp_path / "p.h5"

    def stop(items, total, title):
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_dataset(predictor, rendered, target, batch=4, progress=stop, **ABOUT)
    other = Predictor(tiny())
    predict_dataset(other, rendered, target, **ABOUT)
    predict_dataset(other, rendered, tmp_path / "fresh.h5", **ABOUT)
    fresh = read_predictions(tmp_path / "fresh.h5")
    np.testing.assert_array_equal(read_predictions(target).landmarks, fresh.landmarks)


def test_a_split_is_predicted_alone(predictor, rendered, tmp_path):
    target = tmp_path / "p.h5"
    assert predict_dataset(predictor, rendered, target, split="test", **ABOUT) == 5
    assert list(read_predictions(target).ids) == [rendered.ids[row] for row in rendered.splits["test"]]


def test_unknown_boxes_are_named(predictor, rendered, tmp_path):
    with pytest.raises(UsageError, match="no box 'detector'. Its boxes: landmarks"):
        predict_dataset(predictor, rendered, tmp_path / "p.h5", box="detector", **ABOUT)


def test_images_and_boxes_of_ones_own(predictor, rendered, tmp_path):
    table = images_of(rendered, tmp_path / "mine")
    target = tmp_path / "p.h5"
    assert predict_images(predictor, tmp_path / "mine", table, target, **ABOUT) == 3
    read = read_predictions(target)
    assert (read.dataset, read.box, list(read.ids)) == ("custom", "user", list(rendered.ids[:3]))
    predict_dataset(predictor, rendered, tmp_path / "same.h5", **ABOUT)
    same = read_predictions(tmp_path / "same.h5").landmarks[:3]
    np.testing.assert_allclose(read.landmarks, same, atol=0.05)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t.unlink(), DataMissing, "boxes.csv: no such file"),
        (lambda t: t.write_text("image,x_min\n"), InvalidData, "no column y_min, x_max, y_max"),
        (lambda t: t.write_text("image,x_min,y_min,x_max,y_max\n"), InvalidData, "no face in it"),
        (
            lambda t: t.write_text("image,x_min,y_min,x_max,y_max\nnone.png,0,0,9,9\n"),
            InvalidData,
            "line 2: .*none.png: no such image",
        ),
        (lambda t: t.write_text(t.read_text().replace(",", ",x", 5)), InvalidData, "boxes.csv: no column"),
        (lambda t: shutil.copy(t, t.with_name("s5-000001.png")), InvalidData, "cannot be decoded"),
    ],
)
def test_bad_tables_and_images_are_named(predictor, rendered, tmp_path, change, error, message):
    table = images_of(rendered, tmp_path / "mine")
    change(table)
    target = tmp_path / "p.h5"
    with pytest.raises(error, match=message):
        predict_images(predictor, tmp_path / "mine", table, target, **ABOUT)
    assert not target.exists()


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("5,5,5,9", "no box with an area .* for s5-000000"),
        ("a,5,7,9", "no box with an area .* for s5-000000"),
        ("5000,5000,5010,5010", "s5-000000: the box .* lies outside the image of 256 x 256"),
    ],
)
def test_boxes_that_hold_nothing_are_named(predictor, rendered, tmp_path, box, message):
    table = images_of(rendered, tmp_path / "mine", rows=[0])
    table.write_text(f"image,x_min,y_min,x_max,y_max\n{rendered.ids[0]}.png,{box}\n")
    with pytest.raises(InvalidData, match=message):
        predict_images(predictor, tmp_path / "mine", table, tmp_path / "p.h5", **ABOUT)


def test_two_faces_of_one_image_need_ids(predictor, rendered, tmp_path):
    table = images_of(rendered, tmp_path / "mine", rows=[0, 0])
    with pytest.raises(InvalidData, match="several faces with the id s5-000000"):
        predict_images(predictor, tmp_path / "mine", table, tmp_path / "p.h5", **ABOUT)
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0] + ",id", lines[1] + ",one", lines[2] + ",two"]) + "\n")
    predict_images(predictor, tmp_path / "mine", table, tmp_path / "p.h5", **ABOUT)
    assert list(read_predictions(tmp_path / "p.h5").ids) == ["one", "two"]


def test_out_of_memory_says_what_to_do(predictor, rendered, tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(Predictor, "ask", full)
    with pytest.raises(Exception, match="choose a --batch below 64"):
        predict_dataset(predictor, rendered, tmp_path / "p.h5", **ABOUT)
    assert list(tmp_path.iterdir()) == []
