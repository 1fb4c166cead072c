"""Protocols of other packages are found through their entry point."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest

from facebench.datasets import dataset_names, get_dataset
from facebench.errors import UsageError
from facebench.formats import open_dataset
from facebench.protocols import get_protocol, protocols_of, registry

MODULE = """
from dataclasses import replace
from facebench.protocols.aflw2000 import PROTOCOLS as OWN
PROTOCOLS = (
    replace(OWN[0], name="aflw2000/pose-mnn", convention="mnn-yxz", also=(), board=(("mae/mnn-yxz", "all"),)),
    replace(OWN[0], name="aflw2000/pose", title="an impostor"),
)
"""


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    info = tmp_path / "thirdparty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[facebench.protocols]\nmine = thirdparty_protocols:PROTOCOLS\n")
    (tmp_path / "thirdparty_protocols.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._all.cache_clear()
    yield
    registry._all.cache_clear()
    sys.modules.pop("thirdparty_protocols", None)


@pytest.mark.usefixtures("third_party")
def test_a_package_adds_protocols_but_cannot_replace_one():
    assert "aflw2000/pose-mnn" in [protocol.name for protocol in protocols_of("aflw2000")]
    assert get_protocol("aflw2000/pose-mnn").headline == ("mae/mnn-yxz", "all")
    assert get_protocol("aflw2000/pose").title == "Head pose"


def test_without_the_package_its_protocols_are_unknown():
    assert "aflw2000/pose-mnn" not in [protocol.name for protocol in protocols_of("aflw2000")]


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise RuntimeError('broken')", "broken"),
        ("OTHER = 1", "PROTOCOLS"),
        ("PROTOCOLS = (1,)", "expected a sequence of protocols, found 1 in it"),
        (MODULE.replace('"mae/mnn-yxz", "all"', '"mae/mnn", "all"'), "unknown metric 'mae/mnn' in its board"),
    ],
    ids=["raises", "lacks them", "others", "wrong board"],
)
def test_a_broken_package_is_named_and_does_not_take_the_others_with_it(third_party, tmp_path, module, said):
    (tmp_path / "thirdparty_protocols.py").write_text(module)
    with pytest.warns(
        UserWarning, match=f"(?s)'mine': .*thirdparty_protocols:PROTOCOLS.* cannot be .*{said}"
    ):
        assert len(protocols_of("aflw2000")) == 3
    assert get_protocol("aflw2000/pose").title == "Head pose"


class TestDefinitions:
    """A protocol that names what is not there is refused by that name."""

    @pytest.mark.parametrize(
        ("entry", "said"),
        [
            (("nme/boxsqrt", "all"), "unknown metric 'nme/boxsqrt' in its board. Known: nme/box-sqrt, "),
            (
                ("nme/box-sqrt", "yaw [0, 30]"),
                "unknown group 'yaw [0, 30]' in its board. Known: all, yaw-raw-0-30",
            ),
        ],
    )
    def test_in_its_board(self, entry, said):
        known = get_protocol("aflw2000/landmarks-original")
        with pytest.raises(UsageError, match=f"aflw2000/landmarks-original: {re.escape(said)}"):
            replace(known, board=(*known.board, entry))

    @pytest.mark.parametrize("field", ["faces", "bins", "subsets"])
    def test_a_split_that_the_manifest_lacks(self, drawn, field):
        known = get_protocol("aflw2000/landmarks-original")
        named = "vald" if field == "faces" else {"valid": "vald"}
        wrong = replace(known, board=(("nme/box-sqrt", "all"),), **{field: named})
        assert wrong.lacks(open_dataset(drawn)).startswith(
            "split 'vald', nor has the manifest of aflw2000 (all, valid, "
        )
        assert known.lacks(open_dataset(drawn)) is None

    def test_every_split_of_every_protocol_is_in_the_manifest(self):
        for name in dataset_names():
            splits = get_dataset(name).manifest.splits
            for one in protocols_of(name):
                assert {one.faces, *one.bins.values(), *one.subsets.values()} <= set(splits), one.name
