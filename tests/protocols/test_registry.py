"""Protocols of other packages are found through their entry point."""

from __future__ import annotations

import pytest

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


@pytest.mark.usefixtures("third_party")
def test_a_package_adds_protocols_but_cannot_replace_one():
    assert "aflw2000/pose-mnn" in [protocol.name for protocol in protocols_of("aflw2000")]
    assert get_protocol("aflw2000/pose-mnn").headline == ("mae/mnn-yxz", "all")
    assert get_protocol("aflw2000/pose").title == "Head pose"


def test_without_the_package_its_protocols_are_unknown():
    assert "aflw2000/pose-mnn" not in [protocol.name for protocol in protocols_of("aflw2000")]
