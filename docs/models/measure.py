"""Measure a model on faces that it has not seen, and print the table of its card.

    python docs/models/measure.py MODEL AFLW2000.h5 AFLW-CROPS.h5 300W-CROPS.h5 FOLDER [--crops CROPS.zip]

The three files are prepared from AFLW2000-3D (with the reannotated points), and by ``facebench prepare
custom`` from the crops that the model was trained on; only their test faces are looked at.  Predictions are
left in FOLDER.  CROPS.zip is what 300W-CROPS.h5 was prepared from, and knows where each crop was cut: with
it, FOLDER/300w.h5 has the predictions for Helen's test faces in pixels of the images of 300W.  All other
words are given to ``facebench predict``.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

import facebench
from facebench.formats import Predictions, PreparedDataset, read_predictions
from facebench.geometry import VISIBILITY
from facebench.geometry.crops import invert_transform, transform_points
from facebench.metrics import average_precision, recall_at_precision

RESAMPLES = 1000
HELEN_TEST = "helen/testset/"
STEPS = 2.0**8  # of a pixel, as predictions are rounded to


def interval(values: np.ndarray, statistic=np.mean, resamples: int = RESAMPLES) -> str:
    """Return a statistic of per-face rows, and its 95 % interval by resampling faces."""
    rng = np.random.default_rng(0)
    drawn = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(resamples)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{statistic(values):.2f} ({low:.2f}-{high:.2f})"


def predict(model: str, dataset: str, data: str, target: Path, *more: str) -> Predictions:
    words = ["predict", dataset, "--model", model, "--data", data, "-o", str(target), *more]
    subprocess.run([sys.executable, "-m", "facebench", *words], check=True, stdout=subprocess.DEVNULL)
    return read_predictions(target)


def scores_of_aflw2000(target: Path, data: str) -> None:
    dataset = facebench.open_dataset(data)
    wanted = {
        "aflw2000/pose": [
            ("mae/raw-xyz", "all"),
            ("mae/yaw", "all"),
            ("mae/pitch", "all"),
            ("mae/roll", "all"),
        ],
        "aflw2000/landmarks-reannotated": [("nme/box-sqrt", "all"), ("nme/box-sqrt", "balanced")],
        "aflw2000/landmarks-original": [("nme/box-sqrt", "all"), ("nme/box-sqrt", "balanced")],
    }
    for protocol, keys in wanted.items():
        result = facebench.score(target, protocol, dataset)
        found = {(score.metric, score.group): score for score in result.scores}
        for metric, group in keys:
            if one := found.get((metric, group)):
                shown = f"{one.value:.3f} ({one.low:.3f}-{one.high:.3f})"
                print(f"| {protocol}, {metric}, {group} | {one.n} | {shown} |")
        for (metric, group), one in found.items():
            if "aligned" in metric and group == "all":
                print(f"| {protocol}, {metric} | {one.n} | {one.value:.3f} |")


def corners_of_helen(given: Predictions, dataset: PreparedDataset) -> None:
    rows = dataset.rows(list(given.ids))
    test = [place for place, one in enumerate(given.ids) if one.startswith(HELEN_TEST)]
    truth, points = dataset.annotation("ibug68").points[rows][test], given.landmarks[test]
    distance = np.linalg.norm(points - truth, axis=2).mean(axis=1)
    errors = 100 * distance / np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    print(f"| Helen test of 300W, NME corners | {len(errors)} | {interval(errors)} |")


def in_pixels_of_300w(given: Predictions, archive: str, target: Path) -> None:
    """Write the predictions for Helen's test faces as of the images that the crops were cut from.

    A crop is moved and scaled, not turned, so rotations stay what they are.
    """
    with zipfile.ZipFile(archive) as crops:
        cuts = np.load(io.BytesIO(crops.read("annotations.npz")), allow_pickle=False)
        to_crop = dict(zip(cuts["name"].tolist(), cuts["image_to_crop"], strict=True))
    test = [place for place, one in enumerate(given.ids) if one.startswith(HELEN_TEST)]
    ids = [given.ids[place] for place in test]
    maps = np.array([to_crop[one] for one in ids])
    assert np.all(maps[:, 0, 0] == maps[:, 1, 1])
    assert not maps[:, [0, 1], [1, 0]].any()
    facebench.write_predictions(
        target,
        dataset="300w",
        method=given.method,
        ids=ids,
        scheme="ibug68",
        landmarks=np.round(transform_points(given.landmarks[test], invert_transform(maps)) * STEPS) / STEPS,
        visibility=given.visibility[test],
        rotation=given.rotation[test],
        box=given.box,
        training_data=given.training_data,
    )


def visibility_of_merl_rav(given: Predictions, dataset: PreparedDataset) -> None:
    rows = dataset.rows(list(given.ids))
    marks = dataset.annotation("ibug68").visibility[rows]
    hidden = np.where(marks == VISIBILITY["unknown"], np.nan, marks != VISIBILITY["visible"])
    both = np.stack([1 - given.visibility, hidden], axis=2)

    def pooled(measure):
        def of(rows):
            flat = rows.reshape(-1, 2)
            flat = flat[np.isfinite(flat).all(axis=1)]
            return measure(flat[:, 0], flat[:, 1].astype(bool))

        return of

    constant = f"constant: {100 * np.nanmean(hidden):.2f}"
    precision = interval(both, pooled(average_precision), 200)
    print(f"| MERL-RAV test, AP of not visible ({constant}) | {len(rows)} | {precision} |")
    recall = interval(both, pooled(recall_at_precision), 200)
    print(f"| MERL-RAV test, recall at 80 % precision | {len(rows)} | {recall} |")
    points = dataset.annotation("ibug68").points[rows]
    located = np.isfinite(points).all(axis=2)
    box = dataset.boxes["landmarks"][rows]
    size = np.sqrt((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]))
    distance = np.where(located, np.linalg.norm(given.landmarks - points, axis=2), np.nan)
    errors = 100 * np.nanmean(distance, axis=1) / size
    print(f"| MERL-RAV test, NME box-sqrt of located points | {len(rows)} | {interval(errors)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("model", "aflw2000", "aflw", "w300"):
        parser.add_argument(name)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crops")
    asked, more = parser.parse_known_args()
    out = asked.folder
    out.mkdir(parents=True, exist_ok=True)
    print("| what | faces | value, 95 % interval |\n|:--|--:|--:|")
    predict(asked.model, "aflw2000", asked.aflw2000, out / "aflw2000.h5", *more)
    scores_of_aflw2000(out / "aflw2000.h5", asked.aflw2000)
    given = predict(asked.model, "custom", asked.w300, out / "300w-crops.h5", *more)
    corners_of_helen(given, facebench.open_dataset(asked.w300))
    if asked.crops:
        in_pixels_of_300w(given, asked.crops, out / "300w.h5")
    given = predict(
        asked.model, "custom", asked.aflw, out / "aflw-crops.h5", "--split", "merl-rav-test", *more
    )
    visibility_of_merl_rav(given, facebench.open_dataset(asked.aflw))


if __name__ == "__main__":
    main()
