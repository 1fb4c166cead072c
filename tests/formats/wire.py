"""Predictions written without facebench, in each of the four file formats, as a stranger would."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from facebench.geometry import euler_to_rotation

ARRAYS = ("landmarks", "visibility", "rotation", "euler")
FORMATS = ("h5", "npz", "csv", "json")


def values(faces: int = 3, **changes: Any) -> dict[str, Any]:
    """Return attributes and arrays of good predictions; a change to None leaves the name out."""
    rng = np.random.default_rng(11)
    found = {
        "dataset": "aflw2000",
        "method": "A method: of ours",
        "scheme": "ibug68",
        "box": "landmarks",
        "training_data": "300W-LP, augmented",
        "id": [f"image{number:05}" for number in range(faces)],
        "landmarks": rng.normal(225, 60, (faces, 68, 2)),
        "visibility": rng.uniform(size=(faces, 68)),
        "rotation": euler_to_rotation(rng.normal(0, 40, (faces, 3)), "raw-xyz"),
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def with_euler(faces: int = 3, **changes: Any) -> dict[str, Any]:
    """Return good predictions whose pose is given as angles."""
    euler = np.random.default_rng(12).normal(0, 200, (faces, 3))
    return values(faces, **{"rotation": None, "euler": euler, "euler_convention": "mnn-yxz", **changes})


def write(path: Path, given: dict[str, Any]) -> Path:
    """Write predictions in the format of the path's ending."""
    {".h5": write_h5, ".npz": np.savez, ".csv": write_csv, ".json": write_json}[path.suffix](path, **given)
    return path


def write_h5(path: Path, **given: Any) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "facebench-predictions", "version": 1})
        for name, value in given.items():
            if name == "id" or name in ARRAYS:
                file[name] = np.asarray(value).tolist() if name == "id" else value
            else:
                file.attrs[name] = value


def write_json(path: Path, **given: Any) -> None:
    plain = {name: np.asarray(value).tolist() for name, value in given.items()}
    path.write_text(json.dumps(plain), encoding="utf-8")


def columns(given: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the table by name."""
    table: dict[str, Any] = {"id": given["id"]}
    if "landmarks" in given:
        points = np.asarray(given["landmarks"])
        for number in range(points.shape[1]):
            table[f"x{number}"], table[f"y{number}"] = points[:, number].T
    if "visibility" in given:
        table.update({f"v{number}": one for number, one in enumerate(np.asarray(given["visibility"]).T)})
    if "rotation" in given:
        table.update({f"r{i}{j}": np.asarray(given["rotation"])[:, i, j] for i in range(3) for j in range(3)})
    if "euler" in given:
        table.update(zip(("yaw", "pitch", "roll"), np.asarray(given["euler"]).T, strict=True))
    return table


def write_csv(path: Path, **given: Any) -> None:
    table = columns(given)
    text = io.StringIO()
    for name, value in given.items():
        if name != "id" and name not in ARRAYS:
            text.write(f"# {name}: {value}\n")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(table)
    # repr gives the shortest text that stands for exactly this number
    rows.writerows(
        [one if isinstance(one, str) else repr(float(one)) for one in row]
        for row in zip(*table.values(), strict=True)
    )
    path.write_text(text.getvalue(), encoding="utf-8")
