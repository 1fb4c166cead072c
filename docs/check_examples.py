"""Run every example of the documentation, and compare what it prints with what the page shows.

``python docs/check_examples.py [--data FOLDER] [PAGE ...]`` runs the pages named, or all of them with README
and CONTRIBUTING, each in an empty folder of its own with a home of its own:

* a file that a page shows (a code block with a caption, or a file of ``docs/examples``) is put there;
* the commands of a ``console`` block are run, the statements of a ``pycon`` or ``python`` block executed;
* ``...`` in what a page shows stands for any text, on a line of its own for any number of lines; blank lines
  do not count.

Comments tell what the reader need not see:

* ``<!-- run: COMMAND -->`` runs a command;
* ``<!-- runs -->`` before an ``sh`` block says that its commands run; others are only read, by
  ``tests/test_shown_commands.py``;
* ``<!-- needs: NAME ... -->`` names files of a dataset that all further examples need, which are skipped
  unless ``--data`` names a folder that holds them; ``<!-- needs: nothing -->`` ends that.
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HOME = "/home/ada"  # what the pages call the home of whoever runs the commands

BLOCK = re.compile(r"^(?P<fence>`{3,})(?P<head>[^\n`]*)\n(?P<body>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"^<!-- (?P<what>needs|run): (?P<value>.+?) -->$", re.MULTILINE)
RUNS = "<!-- runs -->"
CAPTION = re.compile(r"^:caption: (?P<name>\S+)\n+", re.MULTILINE)


def matches(shown: str, printed: str) -> bool:
    """Tell whether a page shows what was printed."""
    lines = [line.rstrip() for line in shown.splitlines() if line.strip()]
    found = [line.rstrip() for line in printed.splitlines() if line.strip()]
    pattern = ""
    for line in lines:
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.split("...")) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in found)) is not None


def split_console(body: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with what the page shows below it."""
    steps: list[list[str]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            steps.append([line[2:], ""])
        elif steps and not steps[-1][1] and steps[-1][0].endswith("\\"):
            steps[-1][0] += "\n" + line
        elif steps:
            steps[-1][1] += line + "\n"
    return [(command, shown) for command, shown in steps]


class Page:
    """A page being run in a folder of its own."""

    def __init__(self, path: Path, folder: Path, data: Path | None) -> None:
        self.path, self.folder, self.data = path, folder / "work", data
        self.home = folder / "home"
        self.absent: list[str] = []  # what the examples from here on need, and is not at hand
        self.skipped: set[str] = set()
        for one in (self.folder, self.home):
            one.mkdir()
        bin_folder = str(Path(sys.executable).parent)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("FACEBENCH", "XDG_"))},
            "HOME": str(self.home),
            "PATH": os.pathsep.join([bin_folder, os.environ["PATH"]]),
            "PYTHONPATH": str(self.folder / "site"),  # where a page may install a package of its own
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.names: dict[str, object] = {}
        self.count = self.wrong = 0

    def fail(self, line: int, what: str, shown: str, printed: str) -> None:
        self.wrong += 1
        print(f"{self.path.relative_to(ROOT)}:{line}: {what}")
        print(f"--- shown\n{shown.rstrip()}\n--- printed\n{printed.rstrip()}\n")

    def command(self, text: str) -> tuple[str, int]:
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        printed = done.stdout.replace(str(self.home), HOME).replace(str(self.folder), f"{HOME}/work")
        return printed, done.returncode

    def console(self, body: str, line: int) -> None:
        for text, shown in split_console(body):
            self.count += 1
            printed, _ = self.command(text)
            if not matches(shown, printed):
                self.fail(line, text, shown, printed)

    def pycon(self, body: str, line: int) -> None:
        example = doctest.DocTestParser().get_doctest(body, self.names, self.path.name, str(self.path), line)
        self.count += len(example.examples)
        report = io.StringIO()
        runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
        with contextlib.chdir(self.folder):
            runner.run(example, out=report.write, clear_globs=False)
        self.names = example.globs
        printed = report.getvalue().replace(str(self.home), HOME).replace(str(self.folder), f"{HOME}/work")
        if runner.failures:
            self.fail(line, "python", "", printed)

    def python(self, body: str, line: int) -> None:
        self.count += 1
        try:
            with contextlib.chdir(self.folder), contextlib.redirect_stdout(io.StringIO()):
                exec(compile(body, f"{self.path.name}:{line}", "exec"), self.names)
        except Exception:
            self.fail(line, "python", "(success)", traceback.format_exc())

    def succeed(self, text: str, line: int) -> None:
        self.count += 1
        printed, code = self.command(f"set -euo pipefail\n{text}")
        if code:
            self.fail(line, text, "(success)", printed)

    def need(self, names: list[str]) -> None:
        """Put the files that are named beside the examples; what is absent skips those that follow."""
        found = {name: self.data and self.data / name for name in names if name != "nothing"}
        self.absent = [name for name, path in found.items() if path is None or not path.is_file()]
        self.skipped.update(self.absent)
        for name, path in found.items():
            if name not in self.absent and not (self.folder / name).exists():
                (self.folder / name).symlink_to(path.resolve())

    def show_file(self, head: str, body: str) -> None:
        caption = CAPTION.search(body)
        if head.startswith("{literalinclude}"):
            name = head.removeprefix("{literalinclude}").strip()
            source = (self.path.parent / name).resolve()
            if not source.is_relative_to(HERE / "examples"):
                return  # shown to be read, such as a file of facebench itself
            target = self.folder / source.relative_to(HERE / "examples")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        elif head.startswith("{code-block}") and caption:
            target = self.folder / caption["name"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(body[caption.end() :], encoding="utf-8")

    def run(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        pieces = sorted([*BLOCK.finditer(text), *COMMENT.finditer(text)], key=lambda one: one.start())
        for piece in pieces:
            line = text.count("\n", 0, piece.start()) + 1
            found = piece.groupdict()
            if found.get("what") == "needs":
                self.need(found["value"].split())
            elif self.absent:
                continue
            elif found.get("what") == "run":
                self.succeed(found["value"], line)
            elif found["head"] in ("console", "pycon", "python"):
                getattr(self, found["head"])(found["body"], line)
            elif found["head"] == "sh" and text[: piece.start()].endswith(f"{RUNS}\n\n"):
                self.succeed(found["body"], line)
            elif found["head"]:
                self.show_file(found["head"], found["body"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="Folder with the files that pages need.")
    parser.add_argument("pages", nargs="*", type=Path)
    options = parser.parse_args()
    wrong = 0
    for path in options.pages or [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(HERE.rglob("*.md"))]:
        if {"_build", "generated"} & set(path.parts):
            continue
        with tempfile.TemporaryDirectory(prefix="facebench-docs-") as folder:
            page = Page(path.resolve(), Path(folder).resolve(), options.data)
            # Statements run in this process must find the same home as commands do.
            os.environ["HOME"] = str(page.home)
            os.environ.pop("FACEBENCH_HOME", None)
            page.run()
            wrong += page.wrong
            if page.count or page.skipped:
                skipped = f"; others need {', '.join(sorted(page.skipped))} (--data)" if page.skipped else ""
                print(f"{path}: {page.count} examples, {page.wrong} wrong{skipped}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
