"""Metrics over batches, and tables with intervals, against numpy passes and Python loops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from tests.benchmarks.measuring import Amount, Case

Floats = np.ndarray


def batches(faces: int, batch: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield predicted and true points, made on the fly as parts of one random block."""
    rng = np.random.default_rng(0)
    block = rng.uniform(0, 450, (2 * batch, 68, 2))
    moved = block + rng.normal(0, 5, block.shape)
    for begin in range(0, faces, batch):
        at = begin // batch * 37 % batch
        yield moved[at : at + batch], block[at : at + batch]


def streamed(faces: int, batch: int) -> dict[str, float]:
    from facebench.metrics import Accumulator, LandmarkSuite

    seen = Accumulator(LandmarkSuite(scheme="ibug68", normalisers={"box-sqrt": (7,)}))
    for predicted, truth in batches(faces, batch):
        seen.update(predicted, truth)
    return seen.compute()


def passed(faces: int, batch: int) -> float:
    """Return the mean NME of the same batches by plain numpy."""
    found = []
    for predicted, truth in batches(faces, batch):
        size = truth.max(axis=1) - truth.min(axis=1)
        errors = np.linalg.norm(predicted - truth, axis=2).mean(axis=1)
        found.append(100 * errors / np.sqrt(size.prod(axis=1)))
    return float(np.concatenate(found).mean())


def streaming_cases(faces: int = 1_000_000, batch: int = 1000) -> Iterator[Case | Amount]:
    """1,000,000 x 68 points through an Accumulator in batches: NME, AUC, FR and percentiles."""
    yield Case(
        f"Accumulator, {faces} x 68 points by {batch}",
        "one numpy pass over the same batches (NME)",
        partial(streamed, faces, batch),
        partial(passed, faces, batch),
        aim=3,
        pairs=3,
    )
    yield Amount(f"Accumulator, {faces} x 68 points by {batch}", "peak GB", peak(faces, batch), 1)


def peak(faces: int, batch: int) -> Callable[[], float]:
    """Return what streams faces in a process of its own, and gives its peak in GB."""
    script = (
        "import resource, sys\n"
        "from tests.benchmarks.metric_cases import streamed\n"
        "streamed(int(sys.argv[1]), int(sys.argv[2]))\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9)\n"
    )
    words = [sys.executable, "-c", script, str(faces), str(batch)]
    return lambda: float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


class Table:
    """All numbers of 300w/landmarks over drawn faces, each with its interval, in two ways."""

    def __init__(self, faces: int) -> None:
        from facebench.protocols import get_protocol

        rng = np.random.default_rng(0)
        self.suite = get_protocol("300w/landmarks")
        self.truth = rng.uniform(0, 450, (faces, 68, 2))
        self.predicted = self.truth + rng.normal(0, 20, self.truth.shape)
        common = np.arange(faces) < faces * 554 // 689
        self.groups = {"all": np.ones(faces, bool), "common": common, "challenging": ~common}
        self.wanted = [
            (metric, group)
            for metric in self.suite.metrics
            for group in (self.groups if metric.binned else ("all",))
        ]

    def ours(self, resamples: int) -> Floats:
        """Return (numbers, 3) values and ends of the intervals."""
        from facebench.metrics import estimate

        columns = self.suite.columns(self.predicted, self.truth).of
        wanted = [metric.over_groups((group,)) for metric, group in self.wanted]
        found = estimate(columns, self.groups, wanted, resamples=resamples)
        return np.array([[one.value, one.low, one.high] for one in found])

    def errors(self, rows: Iterable[int]) -> list[dict[str, float]]:
        """Return the NME of faces under each normaliser, by loops over faces and points."""
        found = []
        for row in rows:
            p, g = self.predicted[row], self.truth[row]
            total = 0.0
            for k in range(68):
                total += np.linalg.norm(p[k] - g[k])
            width, height = g.max(axis=0) - g.min(axis=0)
            sizes = {
                "corners": np.linalg.norm(g[36] - g[45]),
                "pupils6": np.linalg.norm(g[36:42].mean(axis=0) - g[42:48].mean(axis=0)),
                "pupils-corners": np.linalg.norm((g[36] + g[39]) / 2 - (g[42] + g[45]) / 2),
                "box-sqrt": np.sqrt(width * height),
                "box-height": height,
                "box-diagonal": np.hypot(width, height),
            }
            found.append({name: 100 * total / 68 / size for name, size in sizes.items()})
        return found

    def summarise(self, faces: list[dict[str, float]], rows: Floats) -> list[float]:
        """Return every number over the faces at ``rows``, whose errors are given, by loops over them."""
        found = []
        for metric, group in self.wanted:
            kind, _, normaliser = metric.key.partition("/")
            of = [e[normaliser] for e, row in zip(faces, rows, strict=True) if self.groups[group][row]]
            if kind == "nme":
                found.append(sum(of) / len(of))
            elif kind.startswith("p"):
                found.append(np.quantile(of, int(kind[1:]) / 100))
            elif kind.startswith("auc"):
                t = float(kind[3:])
                found.append(100 * sum(max(0.0, 1 - e / t) for e in of) / len(of))
            else:
                t = float(kind[2:])
                found.append(100 * sum(e > t for e in of) / len(of))
        return found

    def theirs(self, resamples: int, known: list[dict[str, float]] | None = None) -> Floats:
        """Do the same by loops, which compute the errors of the faces drawn each time where not known."""
        from facebench.metrics.resampling import resample_counts

        everyone = np.arange(len(self.truth))
        drawn = np.concatenate(list(resample_counts(len(everyone), resamples, 0))).astype(int)
        every = []
        for rows in (everyone, *(np.repeat(everyone, counts) for counts in drawn)):
            faces = self.errors(rows) if known is None else [known[row] for row in rows]
            every.append(self.summarise(faces, rows))
        return np.vstack([every[0], np.quantile(every[1:], [0.025, 0.975], axis=0)]).T


def table_cases(faces: int = 689, resamples: int = 1000) -> Iterator[Case]:
    """Every number of 300w/landmarks with its interval, against Python loops over the faces of each resample.

    The loops are measured on a few resamples and scaled up: a resample always takes the same time.  Those of
    the second case are given the errors of the faces for nothing.
    """
    table = Table(faces)
    known = table.errors(range(faces))
    for measured, more, what in (
        (3, (), "loops for each resample"),
        (30, (known,), "loops over known errors"),
    ):
        yield Case(
            f"table of 300w/landmarks, {faces} faces, {resamples} resamples",
            f"{what}, {measured}, scaled",
            partial(table.ours, resamples),
            partial(table.theirs, measured, *more),
            aim=1 / 100,
            pairs=3,
            scale=resamples / (measured + 1),  # the table itself is one more
        )


def gather_cases(faces: int = 15_678, resamples: int = 10_000, measured: int = 640) -> Iterator[Case]:
    """Intervals of 20 means, against bare gathering and averaging of the same size.

    The gathering is measured on a part of the resamples and scaled up; its draws are made beforehand.
    """
    from facebench.metrics import Statistic, estimate

    errors = np.random.default_rng(0).gamma(2.0, 1.5, (faces, 20))
    columns = {str(j): np.ascontiguousarray(errors[:, j]) for j in range(20)}
    everyone = {"all": np.ones(faces, bool)}
    wanted = [Statistic(name, ("all",)) for name in columns]
    draws = np.random.default_rng(0).integers(0, faces, (64, faces))

    def gather() -> Floats:
        return np.array(
            [[column[draws].mean(axis=1) for column in columns.values()] for _ in range(measured // 64)]
        )

    yield Case(
        f"{resamples} resamples of {faces} faces, 20 means",
        f"errors[draws].mean, {measured} resamples, scaled",
        partial(estimate, columns, everyone, wanted, resamples=resamples, seed=0),
        gather,
        aim=2,
        pairs=3,
        scale=resamples / measured,
    )
