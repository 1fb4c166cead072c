"""What is odd about published numbers: pairs that contradict each other, by arithmetic or by experience.

A finding proves no mistake: it is a reason to read the source again, and to say in the notes of the claim
what was found there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal

from facebench.datasets import get_dataset
from facebench.leaderboard.entries import Entry, Reported, slug

__all__ = ["lint_entries"]

#: Numbers of one measurement, by metric key and group.
Numbers = Mapping[tuple[str, str], float]
#: Names what is odd among them.
Rule = Callable[[Numbers], Iterator[str]]

# NME by the outer eye corners over NME by the pupils on 300W, and how far from it is odd.
CORNERS_TO_PUPILS, ODD = 0.71, 0.1
# The parts of the public test set of 300W.
PARTS = ("common", "challenging")
PERCENT = re.compile(r"(auc|fr|success)\d+|recall80(-interpolated)?|ap|f1|precision|recall")


def lint_entries(entries: Sequence[Entry]) -> list[str]:
    """Return a sentence for every reported number that contradicts another one, or what its metric can be.

    Looked at together are the numbers that a method has from the same source under the same protocol:

    - the NME by the outer eye corners on 300W is 0.71 times the one by the pupils, give or take 10 %;
    - the NME of the public test set of 300W is the mean over its 554 common and 135 challenging faces;
    - an MAE is the mean of those of its axes;
    - an error is not negative, a share or an area is within 0 and 100 %, and NME, AUC and FR of the same
      faces keep the order that follows from what they are.

    A printed number may be off by one in its last digit, as it may have been rounded or cut.
    """
    return [
        f"{entry.dataset}/{slug(entry.method)}.json: {entry.method}, {protocol}: {text}."
        for entry in entries
        for protocol, numbers in _measurements(entry)
        for rule in (*RULES, *RULES_OF.get(entry.dataset, ()))
        for text in rule(numbers)
    ]


def _measurements(entry: Entry) -> Iterator[tuple[str, Numbers]]:
    """Yield the protocol and the numbers of each measurement: claims of one source, in or beside a table."""
    found: dict[tuple[str, str, str | None], dict[tuple[str, str], float]] = {}
    for claim in entry.results:
        if isinstance(claim, Reported):
            numbers = found.setdefault((claim.protocol, claim.source, claim.apart), {})
            numbers.update({(one.metric, one.group): one.value for one in claim.values})
    for (protocol, _, _), numbers in found.items():
        yield protocol, numbers


def _bounds(numbers: Numbers) -> Iterator[str]:
    for (key, group), value in numbers.items():
        if value < 0:
            yield f"{key} of {group} is {value:g}, which is negative"
        elif value > 100 and PERCENT.fullmatch(key.partition("/")[0]):
            yield f"{key} of {group} is {value:g}, which is more than 100 %"


def _normalisers(numbers: Numbers) -> Iterator[str]:
    for (key, group), pupils in numbers.items():
        corners = numbers.get(("nme/corners", group))
        if not key.startswith("nme/pupils") or not pupils or corners is None:
            continue
        ratio = corners / pupils
        if abs(ratio / CORNERS_TO_PUPILS - 1) > ODD:
            yield (
                f"nme/corners {corners:g} and {key} {pupils:g} of {group} have a ratio of {ratio:.2f}; "
                f"{CORNERS_TO_PUPILS} is usual"
            )


def _parts(numbers: Numbers) -> Iterator[str]:
    splits = get_dataset("300w").manifest.splits
    counts = {name: splits[name].count for name in PARTS}
    total = sum(counts.values())
    for (key, group), whole in numbers.items():
        parts = {name: numbers.get((key, name)) for name in PARTS}
        known = {name: value for name, value in parts.items() if value is not None}
        if group != "all" or len(known) < len(PARTS):
            continue
        mean = sum(counts[name] * value for name, value in known.items()) / total
        slack = sum(counts[name] * _step(value) for name, value in known.items()) / total
        if abs(whole - mean) > _step(whole) + slack:
            shown = " and ".join(f"{value:g} of {name}" for name, value in known.items())
            yield f"{key} is {whole:g} of all faces, but {shown} make {mean:.3f}"


def _axes(numbers: Numbers) -> Iterator[str]:
    for (key, group), mae in numbers.items():
        name, _, rest = key.partition("/")
        axes = [numbers.get((f"{name}-{axis}/{rest}", group)) for axis in ("yaw", "pitch", "roll")]
        known = [value for value in axes if value is not None]
        if name != "mae" or len(known) < len(axes):
            continue
        mean = sum(known) / len(known)
        if abs(mae - mean) > _step(mae) + sum(_step(value) for value in known) / len(known):
            shown = ", ".join(f"{value:g}" for value in known)
            yield f"{key} of {group} is {mae:g}, but yaw, pitch and roll ({shown}) have the mean {mean:.3f}"


def _curves(numbers: Numbers) -> Iterator[str]:
    """Compare NME, AUC and FR: means over faces of e, of max(0, 1 - e/t), and of e > t."""
    for (key, group), auc in numbers.items():
        if not (found := re.fullmatch(r"auc(\d+)/(.+)", key)):
            continue
        limit, normaliser = int(found[1]), found[2]
        nme = numbers.get((f"nme/{normaliser}", group))
        failures = numbers.get((f"fr{limit}/{normaliser}", group))
        if failures is not None and auc > 100 - failures + _step(auc) + _step(failures):
            most = 100 - failures
            yield f"{key} of {group} is {auc:g}; with {failures:g} % failures it is at most {most:g}"
        if nme is None:
            continue
        share, slack = 100 * nme / limit, 100 * _step(nme) / limit
        if auc < 100 - share - slack - _step(auc):
            yield f"{key} of {group} is {auc:g}; with an NME of {nme:g} it is at least {100 - share:.2f}"
        if failures is not None and failures > share + slack + _step(failures):
            shown = f"{failures:g} % of {group} fail at {limit} %"
            yield f"{shown}; with an NME of {nme:g} at most {share:.2f} % do"


def _step(value: float) -> float:
    """Return one in the last digit that a number is printed with."""
    return 10.0 ** int(Decimal(repr(value)).as_tuple().exponent)


RULES: tuple[Rule, ...] = (_bounds, _axes, _curves)
RULES_OF: Mapping[str, tuple[Rule, ...]] = {"300w": (_normalisers, _parts)}
