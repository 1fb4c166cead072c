"""Every published value stands in an entry or on the list of those left out, and no entry holds another.

``published_rules.csv`` says what a value is here, by how its listing words the protocol and the metric: which
protocol, metric and group; whether it stands in the table, beside it (apart), or is left out.  A rule with a
method or a source goes before the one for all.  ``published_names.csv`` says which method of the
leaderboards a listing means where it writes the name otherwise.
"""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from facebench.datasets import dataset_names
from facebench.leaderboard import Entry, Reported, load_entries
from facebench.leaderboard.left_out import read_left_out
from facebench.protocols import get_protocol

HERE = Path(__file__).parent
BOARDS = HERE.parents[1] / "leaderboards"
LISTED = 826

# A word of each source in the list of published values, and words of the sources that entries name.
SOURCES = {
    "PwC badges": "Papers with Code badges in pcr-upm/bobetocalo_pami20",
    "PapersWithCode mirror": "Papers with Code mirror (OpenCodePapers)",
    "opentrack": "opentrack/neuralnet-tracker-traincode",
    "wizwand": "wizwand.com",
    "images_framework": "curves in pcr-upm/images_framework",
    "eccv18": "author log in pcr-upm/bobetocalo_eccv18",
    "SynergyNet": "choyingw/SynergyNet",
    "ar5iv": "ar5iv",
    "FSA-Net CVPR": "FSA-Net, CVPR 2019",
    "img2pose": "vitoralbiero/img2pose",
    "Hopenet re-implementation": "README of a Hopenet re-implementation",
    "opal23": "author log in pcr-upm/opal23_headpose",
    "cleardusk": "cleardusk/3DDFA",
    "cofw68-benchmark": "golnazghiasi/cofw68-benchmark",
    "HRNet-Facial": "README of HRNet/HRNet-Facial-Landmark-Detection",
    "andresprados": "andresprados/SPIGA",
}

# Values of entries that are on no list of published values, as (protocol, method, metric, group).
ADDED: set[tuple[str, str, str, str]] = set()


# Where a number stands: table or apart, protocol, method, metric, group.
Place = tuple[str, str, str, str, str]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


RULES = read(HERE / "published_rules.csv")
NAMES = read(HERE / "published_names.csv")


def rule_of(value: dict[str, str]) -> dict[str, str]:
    """Return the one rule that a value goes by; the more a rule asks for, the earlier it is asked."""
    fitting = defaultdict(list)
    for rule in RULES:
        asked = (("dataset", "dataset"), ("wording", "protocol"), ("metric", "metric"), ("method", "method"))
        if (
            all(rule[ours] in ("", value[theirs]) for ours, theirs in asked)
            and rule["source"] in value["source"]
        ):
            fitting[bool(rule["method"]) + bool(rule["source"])].append(rule)
    assert fitting, f"no rule for {value}"
    (rule,) = fitting[max(fitting)]
    return rule


def name_of(value: dict[str, str]) -> str:
    """Return how the leaderboards write the method of a value."""
    for name in NAMES:
        if name["listed"] == value["method"] and all(
            name[key] in ("", value[key]) for key in ("dataset", "year")
        ):
            return name["name"]
    return value["method"]


def place_of(value: dict[str, str], rule: dict[str, str]) -> Place:
    return rule["place"], rule["protocol"], name_of(value), rule["key"], rule["group"]


def number_of(value: dict[str, str], rule: dict[str, str]) -> Decimal:
    """Return a value in the unit of its metric here, with the digits that it was printed with."""
    number = Decimal(value["value"])
    return {"": number, "x100": 100 * number, "100-x": 100 - number}[rule["scale"]]


def prints_as(ours: float, printed: Decimal) -> bool:
    """Tell whether a number gives what was printed, once it is rounded or cut to the printed digits."""
    step = Decimal(1).scaleb(min(int(printed.as_tuple().exponent), 0))
    return printed in {Decimal(repr(ours)).quantize(step, how) for how in (ROUND_DOWN, ROUND_HALF_UP)}


def sources_of(value: dict[str, str]) -> list[str]:
    found = [ours for word, ours in SOURCES.items() if word in value["source"]]
    assert found, value["source"]
    return found


@pytest.fixture(scope="module")
def published() -> list[tuple[dict[str, str], dict[str, str]]]:
    """Each published value, and the rule that it goes by."""
    folder = os.environ.get("FACEBENCH_TEST_DATA")
    path = Path(folder).parent / "reported_results.csv" if folder else None
    if path is None or not path.is_file():
        pytest.skip("the list of published values, reported_results.csv, is not at hand")
    return [(value, rule_of(value)) for value in read(path)]


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return [entry for name in dataset_names() for entry in load_entries(BOARDS, name)]


@pytest.fixture(scope="module")
def reported(entries) -> dict[Place, list[tuple[float, Reported]]]:
    """The reported numbers of all entries with their claims, by where they stand."""
    found = defaultdict(list)
    for entry in entries:
        for claim in entry.results:
            if isinstance(claim, Reported):
                place = "apart" if claim.apart else "table"
                for one in claim.values:
                    found[place, claim.protocol, entry.method, one.metric, one.group].append(
                        (one.value, claim)
                    )
    return found


@pytest.mark.parametrize(
    ("ours", "printed", "same"),
    [
        (4.396, "4.39", True),
        (4.396, "4.40", True),
        (4.396, "4.396", True),
        (4.89, "4.9", True),
        (53.94, "53.94", True),
        (4.396, "4.395", False),
        (7.882, "7.89", False),
        (4.39, "4.396", False),
        (57.26, "57.27", False),
    ],
)
def test_what_counts_as_the_same_figure(ours, printed, same):
    assert prints_as(ours, Decimal(printed)) is same


def test_no_two_rules_are_for_the_same_values():
    asked = ("dataset", "wording", "metric", "method", "source")
    assert max(Counter(tuple(rule[key] for key in asked) for rule in RULES).values()) == 1


@pytest.mark.parametrize(
    "rule", RULES, ids=lambda rule: f"{rule['dataset']} {rule['wording']} {rule['metric']}"
)
def test_a_rule_leads_to_a_place_that_there_is(rule):
    assert rule["place"] in {"table", "apart", "left-out"}
    assert rule["scale"] in {"", "x100", "100-x"}
    if rule["place"] == "left-out":
        assert not rule["protocol"] + rule["key"] + rule["group"]
        return
    protocol = get_protocol(rule["protocol"])
    assert rule["group"] in protocol.groups
    if rule["place"] == "table":
        assert rule["key"] in {metric.key for metric in protocol.metrics}


def test_every_rule_and_every_name_is_used(published):
    assert len(published) == LISTED
    used = {id(rule) for _, rule in published}
    assert [rule for rule in RULES if id(rule) not in used] == []
    renamed = {(value["method"], name_of(value)) for value, _ in published}
    assert [name for name in NAMES if (name["listed"], name["name"]) not in renamed] == []


def test_every_published_value_stands_where_its_rule_says(published, reported):
    """In an entry of its method, under the protocol, metric and group, with its source named."""
    missing = [
        value
        for value, rule in published
        if rule["place"] != "left-out"
        and not any(
            prints_as(number, number_of(value, rule))
            and all(one in claim.source for one in sources_of(value))
            for number, claim in reported[place_of(value, rule)]
        )
    ]
    assert missing == []


def test_no_reported_value_is_without_a_published_one(published, reported):
    """To the last digit: an entry holds only what somebody printed."""
    known = {(place_of(value, rule), float(number_of(value, rule))) for value, rule in published}
    unknown = [
        (place, number)
        for place, numbers in reported.items()
        for number, _ in numbers
        if (place, number) not in known and place not in ADDED
    ]
    assert unknown == []


def test_exactly_the_values_that_rules_leave_out_are_on_the_list(published):
    """As they were printed, with their source named."""
    kept = ("dataset", "method", "year", "value")
    listed, ruled = defaultdict(list), defaultdict(list)
    for one in read_left_out(BOARDS):
        listed[tuple(getattr(one, key) for key in kept)].append(one.source)
    for value, rule in published:
        if rule["place"] == "left-out":
            ruled[tuple(value[key] for key in kept)].append(sources_of(value))
    assert {key: len(found) for key, found in listed.items()} == {
        key: len(found) for key, found in ruled.items()
    }
    for key, found in ruled.items():
        for sources, shown in zip(found, listed[key], strict=True):
            assert all(one in shown for one in sources), key


def test_values_that_one_rule_sets_apart_share_the_reason(published, reported):
    reasons = defaultdict(set)
    for value, rule in published:
        if rule["place"] == "apart":
            for number, claim in reported[place_of(value, rule)]:
                if prints_as(number, number_of(value, rule)):
                    reasons[tuple(rule.values())].add(claim.apart)
    assert reasons
    assert [found for found in reasons.values() if len(found) != 1] == []


def test_years_are_those_of_the_listings(published, entries):
    years = defaultdict(set)
    for value, _ in published:
        years[name_of(value)] |= {int(value["year"])} if value["year"] else set()
    listed = [entry for entry in entries if entry.method in years]
    assert [one.method for one in listed if one.year not in (years[one.method] or {None})] == []


def test_a_method_has_the_same_facts_on_every_dataset(entries):
    facts = defaultdict(set)
    for entry in entries:
        facts[entry.method].add((entry.year, entry.paper, entry.url))
    assert [method for method, found in facts.items() if len(found) > 1] == []
