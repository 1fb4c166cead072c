"""Commands as a user runs them: exit code, standard output and standard error."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from facebench.cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*words: object) -> Outcome:
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(int(stopped.value.code or 0), captured.out, captured.err)

    return call
