"""Commands about datasets: ``datasets``, ``info``, ``prepare``, ``verify``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from facebench.cli.console import (
    home_option,
    json_option,
    note,
    print_json,
    print_table,
    progress,
    table,
)

if TYPE_CHECKING:
    from facebench.datasets import Manifest

__all__ = ["datasets", "info", "prepare", "verify"]

# Lines of a long list that are printed.
SHOWN = 10


@click.command()
@home_option
@json_option
def datasets(home: str | None, as_json: bool) -> None:
    """List the datasets, and which are prepared."""
    from facebench.datasets import dataset_names, get_dataset
    from facebench.formats import prepared_path
    from facebench.protocols import protocols_of

    rows = []
    for name in dataset_names():
        manifest = get_dataset(name).manifest
        path = prepared_path(name, home)
        rows.append(
            {
                "name": name,
                "title": manifest.title,
                "faces": None if manifest.open else manifest.faces,
                "annotations": list(manifest.annotations),
                "protocols": [protocol.name for protocol in protocols_of(name)],
                "prepared": str(path) if path.is_file() else None,
            }
        )
    if as_json:
        print_json(rows)
        return
    made = table("name", "title", "faces", "annotation sets", "protocols", "prepared", right=[2])
    for row in rows:
        texts = [
            "\n".join(value) if isinstance(value, list) else str(value or ("any" if key == "faces" else "no"))
            for key, value in row.items()
        ]
        made.add_row(*texts)
    print_table(made)


@click.command()
@click.argument("name")
@click.option("--bibtex", is_flag=True, help="Print only the citations, as BibTeX.")
@json_option
def info(name: str, bibtex: bool, as_json: bool) -> None:
    """Say what a dataset is, how to obtain it, and what is known to be wrong with it."""
    from facebench.datasets import get_dataset

    manifest = get_dataset(name).manifest
    if bibtex:
        click.echo(manifest.bibtex)
    elif as_json:
        print_json(manifest.model_dump(exclude={"file_hashes", "folder"}))
    else:
        _print_card(manifest)


def _print_card(manifest: Manifest) -> None:
    from facebench.protocols import protocols_of

    click.echo(f"{manifest.title} ({manifest.name})\n\n{_wrap(manifest.summary)}")
    images = f" in {manifest.images} images" if manifest.images is not None else ""
    many = "As many faces as you have." if manifest.open else f"{manifest.faces} faces{images}."
    click.echo(f"\n{many} {manifest.homepage}")
    _heading("Licence")
    click.echo(_wrap(manifest.licence.summary) + "\n\n" + manifest.licence.text.strip())
    _heading("How to obtain it")
    for archive in manifest.archives:
        facts = [f"{archive.bytes} bytes" if archive.bytes else "", archive.url or ""]
        facts += archive.mirrors
        facts.append(f"sha256 {archive.sha256}" if archive.sha256 else "")
        facts.append(f"md5 {archive.md5}" if archive.md5 else "")
        if archive.direct:
            facts.append(f"'facebench prepare {manifest.name} --download' fetches it.")
        click.echo(f"* {archive.file}\n{_wrap(archive.obtain)}")
        for fact in filter(None, facts):
            click.echo(f"  {fact}")
    if manifest.seed is None:
        click.echo(f"\nIt looks like this inside:\n\n{_indent(manifest.tree.strip())}")
        click.echo("\nPut it anywhere, then:\n\n" + _indent(_prepare_command(manifest)))
    else:
        click.echo(f"Nothing has to be obtained:\n\n{_indent(manifest.tree.strip())}")
    _heading("Annotation sets")
    for name, annotation in manifest.annotations.items():
        click.echo(f"* {name} ({annotation.scheme})\n{_wrap(annotation.what)}")
        click.echo(_wrap(f"Index base: {annotation.index_base}"))
        click.echo(_wrap(f"Visibility: {annotation.visibility}"))
    click.echo(f"* pose\n{_wrap(manifest.pose)}")
    for group, values in (("box", manifest.boxes), ("source", manifest.source)):
        for name, what in values.items():
            click.echo(f"* {group} {name}\n{_wrap(what)}")
    _heading("Splits")
    made = table("split", "faces", "which", right=[1])
    for name, split in manifest.splits.items():
        made.add_row(name, str(split.count), split.what)
    print_table(made)
    if manifest.faults:
        _heading("Known faults")
    for fault in manifest.faults:
        count = f" ({fault.count})" if fault.count else ""
        click.echo(_wrap(f"* {fault.what}{count}: {fault.handling}."))
    if protocols_of(manifest.name):
        _heading("Protocols")
    for protocol in protocols_of(manifest.name):
        click.echo(f"* {protocol.name}\n{_wrap(protocol.description)}")
    if manifest.citations:
        _heading("Citations (--bibtex prints them whole)")
    for citation in manifest.citations:
        click.echo(f"* {citation.key}: {citation.what}")


def _prepare_command(manifest: Manifest) -> str:
    paths = " ".join(f"--source {role.upper()}" for role in manifest.sources)
    legend = "\n".join(f"{role.upper():12} {what}" for role, what in manifest.sources.items())
    return f"facebench prepare {manifest.name} {paths}\n\n{legend}"


def _heading(text: str) -> None:
    click.echo(f"\n{text}\n{'-' * len(text)}")


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _wrap(text: str) -> str:
    return click.wrap_text(
        text, width=96, initial_indent="  " if text[0] != "*" else "", subsequent_indent="  "
    )


source_option = click.option(
    "sources",
    "--source",
    multiple=True,
    type=click.Path(),
    help="Folder, .zip or file of the release; may be given several times.",
)


@click.command()
@click.argument("name")
@source_option
@click.option(
    "--download", is_flag=True, help="Fetch the release first, where its licence allows that; resumes."
)
@click.option(
    "--raw", type=click.Path(file_okay=False), help="Folder to fetch into; by default HOME/raw/NAME."
)
@click.option("-o", "--output", type=click.Path(), help="File to write; by default in the data home.")
@click.option("--faces", type=int, help="For 'rendered': how many faces to make.")
@click.option("--seed", type=int, help="For 'rendered': the seed to make them by.")
@click.option("--partial", is_flag=True, help="Accept a release that lacks faces.")
@click.option(
    "--images",
    type=click.Choice(["embed", "none"]),
    default="embed",
    show_default=True,
    help="Keep the encoded images in the file, or read them by path from the unpacked release.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Threads that read images, or processes that render; the file is the same for any number.",
)
@home_option
@json_option
def prepare(
    name: str,
    sources: tuple[str, ...],
    download: bool,
    raw: str | None,
    output: str | None,
    faces: int | None,
    seed: int | None,
    partial: bool,
    images: Literal["embed", "none"],
    workers: int,
    home: str | None,
    as_json: bool,
) -> None:
    """Turn a dataset's release into one HDF5 file."""
    from facebench.datasets import prepare as run
    from facebench.formats import data_home, open_dataset, prepared_path

    if raw and not download:
        msg = (
            "--raw is the folder that --download fetches into; a release that you have is given as --source."
        )
        raise click.UsageError(msg)
    if download:
        fetched = _download(name, Path(raw).expanduser() if raw else data_home(home) / "raw" / name)
        sources = (*map(str, fetched), *sources)
    target = Path(output) if output else prepared_path(name, home)
    done = run(
        name,
        sources,
        target,
        faces=faces,
        seed=seed,
        partial=partial,
        images=images,
        workers=workers,
        progress=progress,
    )
    for text in done.notes:
        note(f"note: {text}")
    dataset = open_dataset(done.path)
    splits = {split: len(rows) for split, rows in dataset.splits.items()}
    if as_json:
        print_json(
            {
                "dataset": dataset.name,
                "path": str(done.path),
                "sha256": dataset.sha256,
                "faces": len(dataset),
                "images": len(dataset.image_paths),
                "annotations": list(dataset.annotations),
                "splits": splits,
                "notes": done.notes,
                "provenance": dataset.provenance,
            }
        )
        return
    click.echo(f"{dataset.name}: {len(dataset)} faces")  # a title would be wrapped to the width of the table
    made = table("split", "faces", right=[1])
    for split, count in splits.items():
        made.add_row(split, str(count))
    print_table(made)
    click.echo(f"annotation sets: {', '.join(dataset.annotations) or 'none'}")
    click.echo(
        f"{done.path}  ({done.path.stat().st_size / 1e6:.1f} MB, content sha256 {dataset.sha256[:16]})"
    )


def _download(name: str, folder: Path) -> list[Path]:
    """Fetch what may be fetched of a dataset; an interrupt says what is kept."""
    from facebench.datasets import get_dataset
    from facebench.datasets.download import download_release, part_path

    manifest = get_dataset(name).manifest
    if any(archive.direct for archive in manifest.archives):
        note(f"{manifest.title}: {manifest.licence.summary}")
    try:
        return download_release(manifest, folder, _show_bytes, note)
    except (KeyboardInterrupt, SystemExit):
        for archive in manifest.archives:
            part = part_path(archive, folder)
            if archive.direct and part.is_file() and part.stat().st_size:
                note(
                    f"{part}: {part.stat().st_size} bytes are kept; the same command asks only for the rest."
                )
        raise


def _show_bytes(blocks: Iterable[bytes], done: int, total: int | None, title: str) -> Iterator[bytes]:
    """Show a bar of bytes on standard error while they come, when that is a terminal."""
    if not sys.stderr.isatty():
        yield from blocks
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(title, total=total, completed=done)
        for block in blocks:
            yield block
            shown.advance(task, len(block))


@click.command()
@click.argument("name")
@source_option
@click.option(
    "--full", is_flag=True, help="Read everything, even what has not changed since it was verified."
)
@home_option
@json_option
def verify(name: str, sources: tuple[str, ...], full: bool, home: str | None, as_json: bool) -> None:
    """Check every byte of a prepared file, or with --source of a release.

    NAME is a dataset, or the path of a prepared file. Exits with 1 when anything is missing or invalid. What
    was good and has the same size and time of change is not read again, unless with --full.
    """
    from facebench.datasets import verify_prepared, verify_release
    from facebench.errors import DataMissing
    from facebench.formats import data_home, prepared_path

    stamps = data_home(home) / "verified"
    if sources:
        checks = verify_release(name, sources, progress, stamps=stamps, full=full)
    else:
        path = Path(name) if name.endswith(".h5") else prepared_path(name, home)
        if not path.is_file():
            msg = f"{path}: not prepared. Make it with 'facebench prepare {path.stem} --source PATH'."
            raise DataMissing(msg)
        checks = verify_prepared(path, progress, stamps=stamps, full=full)
    bad = [check for check in checks if check.state != "ok"]
    counts = {state: sum(check.state == state for check in checks) for state in ("ok", "missing", "invalid")}
    if as_json:
        print_json({**counts, "checks": [vars(check) for check in bad or checks[:SHOWN]]})
    else:
        shown = bad or (checks if len(checks) == 1 else [])
        for check in shown[:SHOWN]:
            click.echo(f"{check.state:8} {check.name}{': ' if check.detail else ''}{check.detail}")
        if len(shown) > SHOWN:
            click.echo(f"... and {len(shown) - SHOWN} more (--json lists all)")
        words = dict.fromkeys(counts, "")
        if since := max((check.since for check in checks), default=""):
            words["ok"] = f" (unchanged since it was verified on {since}; --full checks again)"
        click.echo(", ".join(f"{count} {state}{words[state]}" for state, count in counts.items()))
    if bad:
        raise click.exceptions.Exit(1)
