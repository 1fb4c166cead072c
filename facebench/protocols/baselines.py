"""Constant predictors: what a method scores that never looks at the image.

They are the floor of every leaderboard.  The means are taken over the very faces that are scored, so no
constant can do better by much: a method that does not beat them has learnt nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facebench.errors import UsageError
from facebench.formats import PreparedDataset, write_predictions
from facebench.geometry import place_in_box, relative_to_box, rotation_to_euler
from facebench.protocols.protocol import LandmarkProtocol, PoseProtocol
from facebench.protocols.registry import protocols_of

__all__ = ["BASELINES", "predict_baseline"]

#: The constant predictors, and what each says of every face.
BASELINES = {
    "zero-pose": "yaw, pitch and roll all 0 for every face",
    "mean-pose": "the mean yaw, pitch and roll of the scored faces for every face",
    "mean-shape": "the mean of the true shapes, scaled into the true landmark box of each face",
}


def predict_baseline(model: str, dataset: PreparedDataset, target: Path) -> None:
    """Write the predictions of a constant predictor for every face of a dataset.

    Parameters
    ----------
    model : a key of :data:`BASELINES`.

    Raises
    ------
    UsageError : unknown model, or the prepared dataset lacks what every protocol for it scores.
    """
    if model not in BASELINES:
        msg = f"Unknown model '{model}'. Known models: {', '.join(BASELINES)}."
        raise UsageError(msg)
    wanted = LandmarkProtocol if model == "mean-shape" else PoseProtocol
    fitting = (one for one in protocols_of(dataset.name) if isinstance(one, wanted))
    protocol = next((one for one in fitting if one.lacks(dataset) is None), None)
    answer: dict[str, Any]
    if isinstance(protocol, LandmarkProtocol):
        boxes = dataset.boxes["landmarks"]
        shapes = relative_to_box(dataset.annotation(protocol.annotation).points, boxes)
        mean = np.nanmean(shapes[dataset.split(protocol.faces)], axis=0)
        points = place_in_box(np.broadcast_to(mean, shapes.shape), boxes)
        answer = {"landmarks": points, "scheme": protocol.scheme, "box": "landmarks"}
    elif isinstance(protocol, PoseProtocol):
        truth = rotation_to_euler(dataset.rotation[dataset.split(protocol.faces)], protocol.convention)
        constant = np.zeros(3) if model == "zero-pose" else truth.mean(axis=0)
        euler = np.broadcast_to(constant, (len(dataset), 3))
        answer = {"euler": euler, "euler_convention": protocol.convention}
    else:
        msg = f"{dataset.name}: has no protocol for the model '{model}'."
        raise UsageError(msg)
    write_predictions(
        target, dataset=dataset.name, method=model, ids=dataset.ids, training_data="none", **answer
    )
