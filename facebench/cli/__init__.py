"""The command line: thin commands over the rooms below, and the only place that prints.

Results go to standard output, everything else to standard error.  Exit codes: 0 ok, 1 a check failed or a
file is wrong, 2 usage, 3 data missing, 130 interrupted (143 when terminated).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from facebench import __version__
from facebench.cli import boards, compare, data, demo, inspect, models, report, scores
from facebench.errors import FacebenchError

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def facebench() -> None:
    """Face landmark, head-pose and visibility benchmarks whose numbers say how they were made.

    \b
    Start with:      facebench demo
    Then:            facebench info aflw2000
                     facebench prepare aflw2000 --source AFLW2000-3D.zip
                     facebench score predictions.h5
    """


for command in (
    *(data.datasets, data.info, data.prepare, data.verify),
    *(inspect.view, inspect.export),
    *(models.train, models.predict, scores.check, scores.score),
    *(compare.compare, compare.explain, report.report, report.plot),
    *(boards.leaderboard, demo.demo),
):
    facebench.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its documented code."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(facebench.main(arguments, prog_name="facebench", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except FacebenchError as error:
        click.echo(f"facebench: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("facebench: interrupted; nothing was left half written.", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        sys.exit(0)
    except MemoryError:
        click.echo("facebench: out of memory; nothing was left half written.", err=True)
        sys.exit(1)
    finally:
        # Whoever called this as a function, and forks afterwards, has processes that end when told to.
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, _frame: object) -> NoReturn:
    # Raised in the main thread, so that every `finally` on the way out removes its temporary file.
    raise SystemExit(128 + number)
