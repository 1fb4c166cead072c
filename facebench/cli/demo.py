"""The command ``demo``: from a release to a leaderboard and a report, on faces rendered on the spot."""

from __future__ import annotations

import shlex
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import click

from facebench.cli.console import note, progress

__all__ = ["demo"]

FACES, SEED = 48, 7
REPORT = "facebench-demo.html"


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to work in and leave everything in, the report too; by default a temporary one.",
)
@click.option(
    "--faces",
    type=click.IntRange(32, 2000),
    default=FACES,
    show_default=True,
    help="How many faces to render.",
)
def demo(keep: Path | None, faces: int) -> None:
    """Show everything on a rendered release: prepare, predict, score, compare, report. Needs no data.

    Every command is printed before it runs, so that it can be repeated by hand. Without --keep one file is
    left: the report, facebench-demo.html in the working directory, or in a temporary folder where that
    directory cannot be written to.
    """
    with ExitStack() as stack:
        if keep:
            folder = keep
            folder.mkdir(parents=True, exist_ok=True)
            report = keep / "report.html"
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facebench-demo-")))
            report = _place_to_keep()
        _run(folder, faces, report)
    _say(f"The report is {report}: open it in a browser.")
    if keep:
        _say(f"Everything is in {keep}. Remove it when you have seen enough.")
    else:
        _say("'facebench demo --keep DIR' keeps the other files. Next: facebench info aflw2000")


def _place_to_keep() -> Path:
    """Return where the report goes when everything else vanishes."""
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()):
            return Path(REPORT)
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="facebench-report-"))
        reason = error.strerror or error
        note(f"note: nothing can be written to {Path.cwd()} ({reason}); the report goes to {folder}")
        return folder / REPORT


def _run(folder: Path, faces: int, report: Path) -> None:
    from facebench.synthetic import render_faces
    from facebench.synthetic.trees import write_aflw2000_tree
    from facebench.synthetic.trees.aflw2000 import SIZE

    release, prepared = folder / "release", folder / "aflw2000.h5"
    _say(f"1. A release. {faces} rendered faces, laid out as AFLW2000-3D is: {release}")
    write_aflw2000_tree(release, progress(render_faces(faces, SEED, SIZE), faces, "rendering"))

    _say("2. One file from it. '--partial', since it has not the 2000 faces of the real release.")
    _facebench("prepare", "aflw2000", "--source", release, "--partial", "-o", prepared)
    _facebench("verify", prepared)

    model = _model()
    _say(
        f"3. Predictions: a constant, {'the reference model, ' if model else ''}"
        "and a pretended method that writes its own file."
    )
    constant, own = folder / "mean-shape.h5", folder / "noisy.h5"
    _facebench("predict", "aflw2000", "--model", "mean-shape", "--data", prepared, "-o", constant)
    others = []
    if model:
        others.append(folder / f"{model}.h5")
        _facebench("predict", "aflw2000", "--model", model, "--data", prepared, "-o", others[0])
    else:
        _say("   (The reference model would be here too: pip install 'facebench[mnn]')")
    _write_noisy(prepared, own)
    others.append(own)

    _say("4. Scores, with 95 % intervals and the signature that says how they were made.")
    _facebench("check", own, "--data", prepared)
    landmarks = ("--protocol", "aflw2000/landmarks-original")
    for one in others:
        _facebench("score", one, "--data", prepared, "--protocol", "aflw2000/pose", *landmarks)
    _facebench("score", constant, "--data", prepared, *landmarks)

    _say("5. Is the difference more than chance? The same faces, compared one by one.")
    _facebench("compare", constant, *others, "--data", prepared, *landmarks)

    _say("6. A leaderboard.")
    boards = folder / "leaderboards"
    for one in others:
        _facebench("leaderboard", "add", one, "--data", prepared, "--dir", boards)
    by = "facebench predict aflw2000 --model mean-shape"
    _facebench("leaderboard", "add", constant, "--data", prepared, "--dir", boards, "--reproduced-by", by)
    _facebench("leaderboard", "build", "--dir", boards)
    _facebench("leaderboard", "check", "--dir", boards)

    _say("7. A report: all methods on one page, with curves and faces.")
    _facebench(
        "report",
        constant,
        *others,
        "--data",
        prepared,
        *landmarks,
        "--protocol",
        "aflw2000/pose",
        "-o",
        report,
    )


def _model() -> str | None:
    """Return the reference model, where it can run: its weights are there, and what they need."""
    if any(find_spec(name) is None for name in ("torch", "safetensors")):
        return None
    from facebench.mnn.weights import shipped_models

    return next(iter(shipped_models()), None)


def _write_noisy(prepared: Path, target: Path) -> None:
    """Write predictions that are the truth with noise, through the same calls as a user's own code."""
    import numpy as np

    import facebench

    _say(
        "   import facebench\n"
        f"   dataset = facebench.open_dataset({str(prepared)!r})\n"
        "   ...  # run your model on face.image for face in dataset\n"
        f"   facebench.write_predictions({str(target)!r}, dataset='aflw2000', method='Noisy truth',\n"
        "       ids=dataset.ids, landmarks=landmarks, euler=euler, euler_convention='raw-xyz',\n"
        "       box='landmarks')"
    )
    dataset = facebench.open_dataset(prepared)
    noise = np.random.default_rng(SEED)
    points = dataset.annotations["original"].points
    # The release's columns are pitch, yaw, roll in radians.
    euler = np.degrees(dataset.pose_source[:, [1, 0, 2]])
    facebench.write_predictions(
        target,
        dataset="aflw2000",
        method="Noisy truth",
        ids=dataset.ids,
        landmarks=points + noise.normal(0.0, 4.0, points.shape),
        euler=euler + noise.normal(0.0, 5.0, euler.shape),
        euler_convention="raw-xyz",
        box="landmarks",
        training_data="none",
    )


def _say(text: str) -> None:
    click.secho(f"\n{text}", bold=True)


def _facebench(*words: str | Path) -> None:
    """Print a command, then run it."""
    arguments = [str(word) for word in words]
    click.secho(f"$ facebench {shlex.join(arguments)}", fg="cyan")
    click.get_current_context().find_root().command.main(
        arguments, prog_name="facebench", standalone_mode=False
    )
