"""Writes files of the BIWI release in its own formats, independently of the module that reads them."""

from __future__ import annotations

import struct
import zipfile
import zlib

import numpy as np

# PROTOCOLS 1.7, 2.3: the calibration of the RGB camera, of sequence 12 and others.
K = np.array([[517.679, 0, 320], [0, 517.679, 240.5], [0, 0, 1]])
R = np.array(
    [
        [0.999947, 0.00432361, 0.00929419],
        [-0.00446314, 0.999877, 0.0150443],
        [-0.009228, -0.015085, 0.999844],
    ]
)
T = np.array([-24.0198, 5.8896, -13.2308])
DEPTH_K = np.array([[575.816, 0, 320], [0, 575.816, 240], [0, 0, 1]])

#: 12/frame_00003: the rotation as printed in the card of the dataset, and the head centre in mm.
F12 = np.array(
    [
        [0.980639, 0.109899, 0.162077],
        [-0.11023, 0.993882, -0.00697376],
        [-0.161851, -0.011027, 0.986754],
    ]
)
CENTRE12 = np.array([43.4019, -30.7038, 906.864])

# The release's own frames begin with 3.
FIRST = 3


def rows(values) -> str:
    """Rows of six digits with a space behind each number, as the release prints them."""
    return "".join("".join(f"{value:g} " for value in row) + "\n" for row in np.atleast_2d(values))


def pose(rotation=F12, centre=CENTRE12) -> bytes:
    return f"{rows(rotation)}\n{rows(centre)}\n".encode()


def camera(matrix=K, rotation=R, translation=T) -> bytes:
    parts = (rows(matrix), "0 0 0 0 \n", rows(rotation), rows(translation), "640 480")
    return "\n".join(parts).encode()


def depth_camera() -> bytes:
    return camera(DEPTH_K, np.eye(3), np.zeros(3))


def png(width=640, height=480, value=90) -> bytes:
    """Return a plain grey image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = (b"\0" + bytes([value]) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def depth(image) -> bytes:
    """Compress (h, w) millimetres in runs of empty and full pixels."""
    flat = np.asarray(image, np.int16).ravel()
    full = np.concatenate([[False], flat > 0, [False]])
    edges = np.flatnonzero(full[1:] != full[:-1])
    parts, at = [struct.pack("<2i", image.shape[1], image.shape[0])], 0
    for begin, end in edges.reshape(-1, 2).tolist():
        parts += [struct.pack("<2i", begin - at, end - begin), flat[begin:end].tobytes()]
        at = end
    if at < flat.size:
        parts.append(struct.pack("<2i", flat.size - at, 0))
    return b"".join(parts)


def head_depth() -> np.ndarray:
    """A ball in front of nothing: (480, 640) millimetres."""
    y, x = np.mgrid[:480, :640]
    inside = np.hypot(x - 320, y - 240) < 70
    return np.where(inside, 900 - np.sqrt(np.clip(70**2 - (x - 320) ** 2 - (y - 240) ** 2, 0, None)), 0)


def small_release(folder="hpdb") -> dict[str, bytes]:
    """Three frames of sequence 01 and two of 12, in the layout of the release; by path."""
    files = {}
    for sequence, count in (("01", 3), ("12", 2)):
        place = f"{folder}/{sequence}" if folder else sequence
        files[f"{place}/rgb.cal"] = camera()
        files[f"{place}/depth.cal"] = depth_camera()
        for number in range(FIRST, FIRST + count):
            name = f"{place}/frame_{number:05}"
            files[f"{name}_rgb.png"] = png(value=10 * number)
            files[f"{name}_pose.txt"] = pose(centre=CENTRE12 + np.array([0, 0, number - FIRST]))
            files[f"{name}_depth.bin"] = depth(head_depth())
        files[f"{place}.obj"] = b"# 0 vertices, 0 faces\n"
    return files


def write_folder(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
