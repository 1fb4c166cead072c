"""Speed and memory as ratios to a floor or to a peer's algorithm, measured in one run.

    python -m tests.benchmarks.run                     # all, on genuine data where FACEBENCH_TEST_DATA is set
    python -m tests.benchmarks.run scoring bootstrap   # some

Each case times what facebench does and what it is held against in turn, A B A B, and reports the median of
the ratios pair by pair, which holds when the machine's speed drifts.  Absolute times are for orientation.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tests.benchmarks import releases
from tests.benchmarks.board_cases import board_cases
from tests.benchmarks.measuring import Amount, Case, describe
from tests.benchmarks.metric_cases import gather_cases, streaming_cases, table_cases
from tests.benchmarks.model_cases import model_cases
from tests.benchmarks.prepare_cases import memory_cases, prepare_cases
from tests.benchmarks.render_cases import render_cases


def decode_cases() -> Iterator[Case]:
    """Decode random faces, against cv2.imdecode of the same bytes in memory."""
    import cv2

    import facebench
    from facebench.datasets import prepare

    with releases.aflw2000() as sources, tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "aflw2000.h5"
        prepare("aflw2000", sources, target, partial=True)
        dataset = facebench.open_dataset(target)
        rows = np.random.default_rng(0).permutation(len(dataset))[:200]
        encoded = [np.array(dataset.encoded_image(row)) for row in rows]
        yield Case(
            "decode 200 random faces",
            "cv2.imdecode of the same bytes",
            lambda: [dataset[int(row)].image for row in rows],
            lambda: [cv2.imdecode(data, cv2.IMREAD_COLOR) for data in encoded],
            aim=1.1,
        )


def scoring_cases(faces: int = 100_000) -> Iterator[Case]:
    """NME box-sqrt of 100,000 x 68 points, against one numpy pass and a loop over points."""
    from facebench.metrics import nme, normalising_distance

    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 450, (faces, 68, 2))
    predicted = truth + rng.normal(0, 5, truth.shape)

    def ours() -> np.ndarray:
        return nme(predicted, truth, normalising_distance(truth, "box-sqrt"))

    def one_pass() -> np.ndarray:
        size = truth.max(axis=1) - truth.min(axis=1)
        errors = np.linalg.norm(predicted - truth, axis=2).mean(axis=1)
        return 100 * errors / np.sqrt(size.prod(axis=1))

    some = faces // 100

    def ours_on_some() -> np.ndarray:
        return nme(predicted[:some], truth[:some], normalising_distance(truth[:some], "box-sqrt"))

    def loop_on_some() -> list[float]:
        errors = []
        for face in range(some):
            size = truth[face].max(axis=0) - truth[face].min(axis=0)
            total = 0.0
            for point in range(68):
                total += np.linalg.norm(predicted[face, point] - truth[face, point])
            errors.append(100 * total / 68 / np.sqrt(size[0] * size[1]))
        return errors

    yield Case(f"score {faces} x 68 points", "one numpy pass", ours, one_pass, aim=3)
    yield Case(
        f"score {some} x 68 points", "a Python loop over points", ours_on_some, loop_on_some, aim=1 / 100
    )


def bootstrap_cases(faces: int = 2000, resamples: int = 10_000) -> Iterator[Case]:
    """10,000 resamples of one mean, and of the 20 metrics of a table, against scipy.stats.bootstrap."""
    from scipy.stats import bootstrap

    from facebench.metrics import Statistic, estimate

    errors = np.random.default_rng(0).gamma(2.0, 1.5, (faces, 20))
    everyone = {"all": np.ones(faces, bool)}

    def ours(columns: int) -> object:
        named = {str(j): errors[:, j] for j in range(columns)}
        wanted = [Statistic(name, ("all",)) for name in named]
        return estimate(named, everyone, wanted, resamples=resamples, seed=0)

    def peer(columns: int) -> None:
        for j in range(columns):
            bootstrap((errors[:, j],), np.mean, n_resamples=resamples, method="percentile", rng=0)

    name = f"bootstrap, {resamples} resamples of {faces} faces"
    for columns, title in ((1, "one mean"), (20, "20 means")):
        yield Case(
            f"{name}, {title}",
            "scipy.stats.bootstrap of each",
            lambda columns=columns: ours(columns),
            lambda columns=columns: peer(columns),
            aim=1 / 3,
            pairs=3,
        )


def loader_cases() -> Iterator[Case]:
    """One epoch of face crops through a DataLoader with 2 workers, against bare decoding in one process."""
    import cv2
    from torch.utils.data import DataLoader

    import facebench
    from facebench.datasets import prepare
    from facebench.formats.torch_dataset import FaceCrops

    with releases.aflw2000() as sources, tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "aflw2000.h5"
        prepare("aflw2000", sources, target, partial=True)
        dataset = facebench.open_dataset(target)
        encoded = [np.array(dataset.encoded_image(int(image))) for image in dataset.image_of]
        for as_uint8 in (True, False):
            crops = FaceCrops(dataset, size=256, as_uint8=as_uint8)
            loader = DataLoader(crops, 32, num_workers=2, persistent_workers=True)
            yield Case(
                f"DataLoader, 2 workers, {'uint8' if as_uint8 else 'float32'}, {len(crops)} faces",
                "cv2.imdecode of the same bytes",
                lambda loader=loader: [None for _ in loader],
                lambda: [cv2.imdecode(data, cv2.IMREAD_COLOR) for data in encoded],
                aim=1 / 0.9,
                pairs=3,
            )


def startup_cases() -> Iterator[Case]:
    """``facebench --help``, against a Python that imports click."""
    import subprocess

    def run(*words: str) -> None:
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    yield Case(
        "facebench --help",
        "python -c 'import click'",
        lambda: run("-m", "facebench", "--help"),
        lambda: run("-c", "import click"),
        aim=2,
    )


CASES: dict[str, Callable[[], Iterator[Case | Amount]]] = {
    "prepare": prepare_cases,
    "memory": memory_cases,
    "decode": decode_cases,
    "scoring": scoring_cases,
    "bootstrap": bootstrap_cases,
    "streaming": streaming_cases,
    "table": table_cases,
    "gather": gather_cases,
    "render": render_cases,
    "boards": board_cases,
    "startup": startup_cases,
}
if find_spec("torch"):
    CASES["loader"] = loader_cases
    CASES["model"] = model_cases


def main(names: list[str]) -> None:
    genuine = bool(os.environ.get("FACEBENCH_TEST_DATA"))
    print(f"numpy {np.__version__}, {os.cpu_count()} cores, {'genuine' if genuine else 'drawn'} faces\n")
    print(f"{'case':58} {'against':36} {'ratio':>8} {'aim':>8} {'ours':>11} {'theirs':>11}")
    for name in names or CASES:
        for case in CASES[name]():
            print(describe(case), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
