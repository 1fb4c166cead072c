"""Preparing each dataset, against copying and hashing the bytes of its release, and the memory it takes."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import releases
from tests.benchmarks.measuring import Amount, Case

COPY = "copy and hash its files"


def prepare_cases() -> Iterator[Case]:
    """Yield a case for each dataset.

    The floor reads every file of the release, hashes it and appends it to a new file; where pixels have to be
    encoded (COFW) it encodes them in the same way besides.  AFLW2000-3D has 2000 MATLAB files, which are also
    decoded in a floor of their own.
    """
    with releases.aflw2000() as sources, tempfile.TemporaryDirectory() as folder:
        ours = preparing("aflw2000", sources, Path(folder))
        yield Case("prepare aflw2000", COPY, ours, copying(sources, Path(folder)), aim=1.5)
        yield Case("prepare aflw2000", "read, hash and loadmat", ours, lambda: read_mats(sources), aim=1.3)
    with written(releases.write_300w) as (root, out):
        ours = preparing("300w", [root], out)
        yield Case("prepare 300w, 689 faces", COPY, ours, copying([root], out), aim=1.5)
    with written(lambda root: releases.write_aflw(root, faces=2300, images=2000)) as (root, out):
        ours = preparing("aflw", [root], out)
        yield Case("prepare aflw, 2000 images", COPY, ours, copying([root], out), aim=1.5)
    with written(lambda root: releases.write_biwi(root, frames=50)) as (root, out):
        ours = preparing("biwi", [root], out)
        yield Case("prepare biwi, 1200 frames", COPY, ours, copying([root], out), aim=1.5)
    with written(lambda root: releases.write_cofw(root, faces=200)) as (root, out):
        floor = encoding(root / "COFW_test_color.mat", out)
        for workers in (1, 2):
            ours = preparing("cofw", [root], out, workers)
            name = f"prepare cofw, 200 images, workers {workers}"
            yield Case(name, "copy, hash and encode", ours, floor, aim=1.5 / workers, pairs=3)


def memory_cases() -> Iterator[Amount]:
    """Yield the peak memory of preparing the largest releases, at full count.

    The images of AFLW are small and those of BIWI one file under all names: memory must grow with neither.
    """
    with written(lambda root: releases.write_aflw(root, faces=24384, images=21997, links=True)) as (
        root,
        out,
    ):
        yield Amount("prepare aflw, 24384 faces, 21997 small images", "peak GB", peak("aflw", root, out), 1)
    with written(lambda root: releases.write_biwi(root, frames=653, links=True)) as (root, out):
        yield Amount("prepare biwi, 15672 frames, 5.9 GB", "peak GB", peak("biwi", root, out), 1)


@contextmanager
def written(write: Callable[[Path], object]) -> Iterator[tuple[Path, Path]]:
    """Yield the folder of a release that was written, and an empty one."""
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "raw"), Path(folder, "out")
        root.mkdir(), out.mkdir()
        write(root)
        yield root, out


def preparing(name: str, sources: Sequence[Path], out: Path, workers: int = 1) -> Callable[[], object]:
    from facebench.datasets import prepare

    return lambda: prepare(name, sources, out / f"{name}.h5", partial=True, workers=workers)


def files_of(sources: Sequence[Path]) -> Iterator[bytes]:
    """Yield the bytes of every file, those in a zip unpacked."""
    for source in sources:
        if source.suffix == ".zip":
            with zipfile.ZipFile(source) as archive:
                yield from (archive.read(one) for one in archive.infolist() if not one.is_dir())
        elif source.is_dir():
            yield from (path.read_bytes() for path in source.rglob("*") if path.is_file())
        else:
            yield source.read_bytes()


def copying(sources: Sequence[Path], out: Path) -> Callable[[], object]:
    def floor() -> None:
        with (out / "copy").open("wb") as file:
            for data in files_of(sources):
                hashlib.sha256(data)
                file.write(data)

    return floor


def read_mats(sources: Sequence[Path]) -> None:
    from scipy.io import loadmat

    for data in files_of(sources):
        hashlib.sha256(data)
        if data.startswith(b"MATLAB"):
            loadmat(io.BytesIO(data))


def encoding(mat: Path, out: Path) -> Callable[[], object]:
    """Return what copies and hashes a part of COFW, and encodes its images as PNG of the same level."""
    import cv2
    import h5py

    from facebench.datasets.cofw import PNG_LEVEL

    copy = copying([mat], out)

    def floor() -> None:
        copy()
        with h5py.File(mat) as file, (out / "images").open("wb") as images:
            for (reference,) in file["IsT"][()].T:
                pixels = file[reference][()].T[:, :, ::-1]
                images.write(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1])

    return floor


def peak(name: str, root: Path, out: Path) -> Callable[[], float]:
    """Return what prepares in a process of its own with two workers, and gives its peak in GB."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from facebench.datasets import prepare\n"
        "name, root, target = sys.argv[1:]\n"
        "prepare(name, [root], Path(target), partial=True, workers=2)\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9)\n"
    )
    words = [sys.executable, "-c", script, name, str(root), str(out / f"{name}.h5")]
    return lambda: float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
