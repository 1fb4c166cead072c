"""Published results on COFW-68 (PROTOCOLS 1.6, 3.2), from the outputs that its authors published with it.

The annotations are the genuine ones; the images and the 29 points are drawn, as nothing here depends on them.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

import facebench
from facebench.datasets import prepare
from facebench.errors import InvalidData
from facebench.formats import VISIBILITY
from tests.datasets.test_cofw import faces, write_mat
from tests.protocols.hand_made import check

LANDMARKS, OCCLUSION = "cofw/landmarks-cofw68", "cofw/visibility-cofw68"
FILES = {"CFSS": "CFSS_CFOW68.txt", "HPM": "HPM_HelenLfpw_COFW68test.txt", "SAPM": "SAPM_COFW68.txt"}


@pytest.fixture(scope="module")
def dataset(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cofw")
    write_mat(folder / "COFW_test.mat", "test", *faces(507, 2))
    sources = [folder / "COFW_test.mat", real_data / "raw" / "COFW68_Data.zip"]
    return facebench.open_dataset(prepare("cofw", sources, folder / "cofw.h5").path)


@dataclass(frozen=True)
class Output:
    """What a method says of N images: their numbers from 1 on, 68 points from pixel 1 on, and occlusion."""

    numbers: list[int]
    points: NDArray
    occluded: NDArray


@pytest.fixture(scope="module")
def outputs(real_data):
    """Four lines an image: its number, 68 x, 68 y, 68 times 1 for occluded."""
    found = {}
    with zipfile.ZipFile(real_data / "oracles" / "cofw68_results.zip") as archive:
        for method, name in FILES.items():
            lines = archive.read(name).decode().split("\n")
            x, y, occluded = (np.loadtxt(lines[first : 4 * 507 : 4]) for first in (1, 2, 3))
            numbers = [int(line) for line in lines[: 4 * 507 : 4]]
            found[method] = Output(numbers, np.stack([x, y], axis=2), occluded)
    return found


@pytest.fixture(scope="module")
def predictions(outputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictions")
    for method, output in outputs.items():
        facebench.write_predictions(
            folder / f"{method}.h5",
            dataset="cofw",
            method=method,
            ids=[f"test/{number:04d}" for number in output.numbers],
            landmarks=output.points - 1,
            visibility=1 - output.occluded,
        )
    return folder


def test_outputs_are_of_all_faces_in_orders_of_their_own(outputs):
    everybody = list(range(1, 508))
    assert all(sorted(output.numbers) == everybody for output in outputs.values())
    assert [outputs[method].numbers == everybody for method in FILES] == [False, True, False]


@pytest.fixture(scope="module", params=list(FILES))
def scored(request, predictions, dataset):
    return facebench.score(predictions / f"{request.param}.h5", LANDMARKS, dataset)


def test_nme_and_success_rate_of_all_and_of_the_visible_points(scored):
    """The benchmark prints shares of the eyes' distance, and per cent of faces with at most 0.1 of it."""
    nme, success, visible_nme, visible_success = {
        "CFSS": (".0880", "78.11", ".0730", "89.94"),
        "HPM": (".0940", "72.39", ".0793", "87.57"),
        "SAPM": (".0929", "71.20", ".0800", "86.79"),
    }[scored.method]
    assert scored.n == 507
    of_visible = np.array(scored.per_face["nme/pupils6/visible"])
    found = (
        f"{scored.get('nme/pupils6').value / 100:.4f}"[1:],
        f"{100 - scored.get('fr10/pupils6').value:.2f}",
        f"{scored.get('nme/pupils6/visible').value / 100:.4f}"[1:],
        f"{100 * (of_visible <= 10).mean():.2f}",
    )
    assert found == (nme, success, visible_nme, visible_success)


def test_visible_and_occluded_points_make_up_all_of_them(scored, dataset):
    occluded = dataset.annotations["cofw68"].visibility == VISIBILITY["occluded"]
    whole, visible, hidden = (
        np.array(scored.per_face[f"nme/pupils6{which}"]) for which in ("", "/visible", "/occluded")
    )
    share = occluded[dataset.split("cofw68")].mean(axis=1)
    assert round(occluded.mean(), 5) == 0.22903
    np.testing.assert_array_equal(np.isnan(hidden), share == 0)
    np.testing.assert_allclose(visible * (1 - share) + np.nan_to_num(hidden) * share, whole, rtol=1e-9)
    assert scored.get("nme/pupils6/occluded").n == (share > 0).sum() < 507
    assert scored.get("nme/pupils6/occluded").value > scored.get("nme/pupils6/visible").value


@pytest.mark.parametrize(
    ("method", "precision", "recall"), [("HPM", "80.65", "34.06"), ("SAPM", "76.50", "51.95")]
)
def test_occlusion(predictions, dataset, method, precision, recall):
    result = facebench.score(predictions / f"{method}.h5", OCCLUSION, dataset)
    check(result, {("precision", "all"): precision, ("recall", "all"): recall})
    p, r = (result.get(key).value for key in ("precision", "recall"))
    assert result.get("f1").value == pytest.approx(2 * p * r / (p + r))


def test_labels_have_no_sweep_and_no_number_of_one(predictions, dataset):
    """Methods that only say yes or no have one operating point: nothing is made up for the others."""
    result = facebench.score(predictions / "HPM.h5", OCCLUSION, dataset)
    assert {one.metric for one in result.scores} == {"precision", "recall", "f1"}
    assert result.headline.metric in {"precision", "recall", "f1"}


def test_a_method_that_takes_nothing_for_occluded(predictions, dataset):
    """CFSS says 0 of every point: it finds nothing, and its precision is not defined."""
    result = facebench.score(predictions / "CFSS.h5", OCCLUSION, dataset)
    assert result.get("recall").value == 0
    assert result.get("f1").value == 0
    assert np.isnan(result.get("precision").value)
    assert '"precision","group":"all","value":null' in result.model_dump_json()


def test_files_counted_from_1_score_otherwise(outputs, dataset):
    """The unshifted points of the release are a pixel off in x and y, which shows in the third digit."""
    output = outputs["CFSS"]
    wrong = facebench.Predictions(
        dataset="cofw",
        method="CFSS",
        ids=[f"test/{number:04d}" for number in output.numbers],
        scheme="ibug68",
        landmarks=output.points,
    )
    assert facebench.score(wrong, LANDMARKS, dataset, resamples=0).get("nme/pupils6").value > 8.9


def test_one_pixel_everywhere(dataset):
    """What a pixel amounts to tells the normalisers apart (PROTOCOLS 3.2)."""
    moved = facebench.Predictions(
        dataset="cofw",
        method="one pixel",
        ids=dataset.ids,
        scheme="ibug68",
        landmarks=dataset.annotations["cofw68"].points + np.array([0.6, 0.8]),
    )
    numbers = {
        "nme/pupils6": "1.7840",
        "nme/pupils-corners": "1.8010",
        "nme/corners": "1.2740",
        "nme/box-sqrt": "0.8211",
    }
    check(facebench.score(moved, LANDMARKS, dataset), {(key, "all"): text for key, text in numbers.items()})


def test_faces_left_out_are_counted(predictions, dataset):
    given = facebench.read_predictions(predictions / "HPM.h5")
    some = facebench.Predictions(
        dataset="cofw", method="HPM", ids=given.ids[7:], scheme="ibug68", visibility=given.visibility[7:]
    )
    with pytest.raises(InvalidData, match=r"7 of 507 faces have no prediction.*test/0001"):
        facebench.score(some, OCCLUSION, dataset)
    whole, part = (
        facebench.score(one, OCCLUSION, dataset, missing="fail", resamples=0) for one in (given, some)
    )
    assert part.n == 507
    assert part.get("recall").value < whole.get("recall").value
