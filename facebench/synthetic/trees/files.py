"""Formats that several releases share: MATLAB files, ``.pts`` files and images without loss."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facebench.errors import UsageError, name_some

__all__ = ["empty_folder", "mat_bytes", "png_bytes", "pts_text"]

HEADER = b"MATLAB 5.0 MAT-file, Platform: facebench, a drawn face".ljust(116)


def empty_folder(folder: Path) -> Path:
    """Make a folder where there is none; refuse one that holds anything, which a reader would find, too."""
    path = Path(folder)
    if path.exists() and (others := sorted(one.name for one in path.iterdir())):
        msg = f"{path} holds other files ({name_some(others)}). Name a new or empty folder."
        raise UsageError(msg)
    path.mkdir(parents=True, exist_ok=True)
    return path


def mat_bytes(values: Mapping[str, Any]) -> bytes:
    """Return a MATLAB v5 file of some arrays, the same bytes at any time of day."""
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, dict(values), do_compression=True)
    return HEADER + stream.getvalue()[len(HEADER) :]


def pts_text(points: NDArray[np.float64]) -> str:
    """Return a ``.pts`` file of (K, 2) numbers, six digits behind the point (PROTOCOLS 1.1)."""
    lines = "".join(f"{x:.6f} {y:.6f}\n" for x, y in points)
    return f"version: 1\nn_points:  {len(points)}\n{{\n{lines}}}\n"


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode an (H, W, 3) RGB image without loss."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return encoded.tobytes()
