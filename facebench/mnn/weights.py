"""Weights in safetensors files: the network's shape in the header, and nothing that could run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from facebench.errors import InvalidData, UsageError
from facebench.geometry import get_scheme
from facebench.mnn.architecture import Architecture, Network
from facebench.mnn.array_file import check_shapes, read_arrays, write_arrays

__all__ = ["Card", "find_model", "load_weights", "model_card", "save_weights", "shipped_models"]

KIND = "weights"
SUFFIX = ".safetensors"


class Card(BaseModel):
    """What comes with shipped weights, beside them as ``NAME.json``.

    Attributes
    ----------
    name : of the model.
    sha256 : of the file of the weights.
    training_data : what predictions say they were trained on.
    licence : of the data, which the weights inherit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str
    training_data: str
    licence: str


def _models() -> Path:
    return Path(__file__).parent / "models"


def shipped_models() -> list[str]:
    """Return the names of the models whose weights come with facebench."""
    return sorted(path.stem for path in _models().glob("*" + SUFFIX))


def model_card(name: str) -> Card:
    """Return the card of a shipped model."""
    return Card.model_validate_json((_models() / f"{name}.json").read_text(encoding="utf-8"))


def find_model(name: str) -> tuple[Path, Card | None]:
    """Return the file of a model's weights: a shipped one by name, or one's own by its path.

    Raises
    ------
    UsageError : no shipped model has that name.
    DataMissing : no such file.
    InvalidData : the shipped file is not the one that its card describes.
    """
    if name.endswith(SUFFIX):
        return Path(name), None
    if name not in shipped_models():
        msg = (
            f"Unknown model '{name}'. Known: {', '.join(shipped_models()) or 'none'}, and the path of a "
            f"{SUFFIX} file."
        )
        raise UsageError(msg)
    path, card = _models() / f"{name}{SUFFIX}", model_card(name)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != card.sha256:
        msg = f"{path}: has the SHA-256 {found[:16]}, not {card.sha256[:16]}. Install facebench again."
        raise InvalidData(msg)
    return path, card


def save_weights(path: Path, network: Network, name: str, half: bool = False) -> None:
    """Write a network's weights and shape.

    Parameters
    ----------
    name : of the model.
    half : keep floating-point numbers in 16 bits.
    """
    state = {
        key: (value.half() if half and value.is_floating_point() else value).detach().cpu().numpy()
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    write_arrays(path, KIND, state, {"name": name, "architecture": network.architecture.model_dump_json()})


def load_weights(path: str | Path, expected: Architecture | None = None) -> Network:
    """Read a network, ready to predict, in 32 bits.

    Parameters
    ----------
    expected : the shape it must have.

    Raises
    ------
    DataMissing : no such file.
    InvalidData : not a whole safetensors file, not facebench's, or of another shape; says what differs.
    """
    path = Path(path)
    header, state = read_arrays(path, KIND)
    try:
        architecture = Architecture.model_validate(json.loads(header["architecture"]))
        get_scheme(architecture.scheme)
    except (KeyError, ValueError, ValidationError, UsageError) as error:
        msg = f"{path}: its header does not describe a network ({error})."
        raise InvalidData(msg) from error
    if expected is not None and architecture.model_copy(update={"size": expected.size}) != expected:
        differ = [
            f"{key} {mine!r} instead of {yours!r}"
            for (key, mine), yours in zip(architecture, dict(expected).values(), strict=True)
            if mine != yours and key != "size"
        ]
        msg = f"{path}: of another shape than expected: {', '.join(differ)}."
        raise InvalidData(msg)
    network = Network(architecture)
    own = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    check_shapes(
        path, {key: value.shape for key, value in state.items()}, {key: tuple(own[key].shape) for key in own}
    )
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(torch.from_numpy(state[key]))
    return network.eval()
