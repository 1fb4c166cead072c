"""The option ``--behind`` of ``report`` and ``plot``: curves of others, read from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from facebench.report import Curve

__all__ = ["behind_option", "read_behind"]

behind_option = click.option(
    "behind",
    "--behind",
    multiple=True,
    metavar="FOLDER|PROTOCOL:ERROR=PATH",
    help="Curves to draw in grey behind the cumulative errors: the computed methods of a folder of "
    "leaderboards, or published curves of the error of a protocol, a text file of two columns (error, share "
    "of faces) or a folder of such files. Several allowed.",
)

EXAMPLE = "--behind 300w/landmarks:nme/pupils-corners=curves"


def read_behind(
    given: Sequence[str], dataset: str, protocols: Sequence[str], methods: Sequence[str]
) -> list[Curve]:
    """Read the curves that the option names.

    Parameters
    ----------
    protocols : names of those that are drawn.
    methods : names of those that are drawn anyway; a leaderboard's curves of the same name are left out.
    """
    found: list[Curve] = []
    for words in given:
        if Path(words).is_dir():
            found += _of_leaderboards(Path(words), dataset, protocols, methods)
        else:
            found += _published(words, protocols)
    return found


def _of_leaderboards(
    folder: Path, dataset: str, protocols: Sequence[str], methods: Sequence[str]
) -> list[Curve]:
    """Read the curves of the headlines of the computed methods."""
    from facebench.errors import UsageError
    from facebench.leaderboard import Scored, load_entries
    from facebench.leaderboard.entries import entry_path
    from facebench.leaderboard.ties import errors_path, read_errors
    from facebench.protocols import get_protocol
    from facebench.report import Curve, curve_of_errors

    found = []
    for entry in load_entries(folder, dataset):
        errors = read_errors(errors_path(folder, entry_path(folder, entry)))
        # Of several results of a protocol, the errors are those of the last that was added.
        results = {one.protocol: one.result for one in entry.results if isinstance(one, Scored)}
        for name in protocols:
            if name in errors and name in results:
                protocol = get_protocol(name)
                found.append(
                    Curve(
                        entry.method,
                        *curve_of_errors(errors[name].errors),
                        source=folder.name or str(folder),
                        protocol=name,
                        error=protocol.metric(protocol.headline[0]).column,
                        signature=results[name].signature,
                    )
                )
    if not found:
        msg = (
            f"--behind {folder}: no folder of leaderboards with a computed method of {', '.join(protocols)}. "
            f"For published curves, say what they are of: {EXAMPLE}."
        )
        raise UsageError(msg)
    return [one for one in found if one.name not in methods]


def _published(words: str, protocols: Sequence[str]) -> list[Curve]:
    from facebench.errors import UsageError
    from facebench.protocols import get_protocol
    from facebench.report import read_curves
    from facebench.report.contents import cumulative_errors

    what, equals, path = words.partition("=")
    protocol, colon, error = what.partition(":")
    if not (equals and colon and path):
        msg = (
            f"--behind {words}: neither a folder of leaderboards nor PROTOCOL:ERROR=PATH. Published curves "
            f"do not say what they are of, so the option has to: {EXAMPLE}."
        )
        raise UsageError(msg)
    if protocol not in protocols:
        msg = f"--behind {words}: '{protocol}' is not drawn, only {', '.join(protocols)}."
        raise UsageError(msg)
    drawn = cumulative_errors(get_protocol(protocol))
    if error not in drawn:
        msg = (
            f"--behind {words}: {protocol} has no cumulative curve of '{error}'. "
            f"Its curves: {', '.join(drawn) or 'none'}."
        )
        raise UsageError(msg)
    return read_curves(path, protocol, error)
