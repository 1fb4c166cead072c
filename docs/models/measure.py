"""Measure a model on faces that it has not seen, and print the table of its card.

    python docs/models/measure.py MODEL AFLW2000.h5 AFLW-CROPS.h5 300W-CROPS.h5 FOLDER

The three files are prepared from AFLW2000-3D (with the reannotated points), and by ``facebench prepare
custom`` from the crops that the model was trained on; only their test faces are looked at.  Predictions are
left in FOLDER.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import facebench
from facebench.formats import Predictions, PreparedDataset, read_predictions
from facebench.geometry import VISIBILITY
from facebench.metrics import average_precision, recall_at_precision

RESAMPLES = 1000
HELEN_TEST = "helen/testset/"


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


def main(model: str, aflw2000: str, aflw: str, w300: str, folder: str, *more: str) -> None:
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    print("| what | faces | value, 95 % interval |\n|:--|--:|--:|")
    predict(model, "aflw2000", aflw2000, out / "aflw2000.h5", *more)
    scores_of_aflw2000(out / "aflw2000.h5", aflw2000)
    given = predict(model, "custom", w300, out / "300w-crops.h5", *more)
    corners_of_helen(given, facebench.open_dataset(w300))
    given = predict(model, "custom", aflw, out / "aflw-crops.h5", "--split", "merl-rav-test", *more)
    visibility_of_merl_rav(given, facebench.open_dataset(aflw))


if __name__ == "__main__":
    main(*sys.argv[1:])
