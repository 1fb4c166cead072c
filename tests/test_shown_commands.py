"""Every command that a page shows exists, with its options and the names that it is given.

The examples that need no data are run by ``docs/check_examples.py``.  The others need a release, a GPU or
hours: their command lines are read here as the program itself would read them.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from facebench.cli import facebench
from facebench.datasets import dataset_names
from facebench.metrics import ENGINES
from facebench.protocols import BASELINES, protocols_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for folder, pattern in (
        (ROOT, "*.md"),
        (ROOT / ".github", "**/*.md"),
        (ROOT / ".github", "**/*.yml"),
        (ROOT / "leaderboards", "*.md"),
        (DOCS, "**/*.md"),  # with docs/generated, where the documentation has been built
    )
    for path in folder.glob(pattern)
    if "_build" not in path.parts
)

FENCE = re.compile(r"^ *(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<body>.*?)^ *(?P=fence)$", re.M | re.S)
INLINE = re.compile(r"(?<!`)`(?P<text>(?:facebench|python|torchrun|pip) [^`]+?)`(?!`)")
PLACEHOLDER = re.compile(r"<[\w-]+>|\.\.\.|[A-Z][A-Z_]*")
SEPARATORS = {"&&", "||", "|", ";", "&"}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

# The packages of docs/examples are installed on the page that shows them.
EXAMPLES = {path.stem for path in DOCS.glob("examples/*/*/*.toml")}
DATASETS = {*dataset_names(), *EXAMPLES}
MODELS = {*BASELINES, *(path.stem for path in ROOT.glob("facebench/mnn/models/*.safetensors"))}
PROTOCOLS = {protocol.name for name in dataset_names() for protocol in protocols_of(name)}
NAMES = {
    "engine": set(ENGINES),
    "dataset": DATASETS,
    "name": DATASETS | MODELS,
    "model": MODELS,
    "recipe": {path.stem for path in ROOT.glob("facebench/mnn/recipes/*.toml")},
    "protocol": PROTOCOLS,
    "protocols": PROTOCOLS,
}


class Shown(NamedTuple):
    """A command as a page shows it; one in a sentence need not be complete."""

    page: str
    line: int
    words: list[str]
    complete: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


def split_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a script: no comments, redirections or variables set for it."""
    for line in text.replace("\\\n", " ").splitlines():
        # A placeholder in angle brackets is no redirection.
        plain = re.sub(r"<([\w-]+)>", lambda found: found[1].upper().replace("-", "_"), line)
        lexer = shlex.shlex(plain, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in SEPARATORS:
                words.append(word)
                continue
            if ">" in words:
                words = words[: words.index(">")]
            while words and re.match(r"[A-Z_]+=", words[0]):
                del words[0]
            if words:
                yield words
            words = []


def shown_on(path: Path) -> Iterator[Shown]:
    """Yield the commands of a page: of its blocks, and those named in its sentences."""
    text = path.read_text(encoding="utf-8")
    name = str(path.relative_to(ROOT))
    for block in FENCE.finditer(text):
        body, language = block["body"], block["language"]
        if language == "console":
            body = "\n".join(re.findall(r"^\$ (facebench (?:.*\\\n)*.*)$", body, re.M))
        elif language not in ("sh", "bash") and (language or not body.lstrip().startswith("facebench ")):
            continue
        line = text.count("\n", 0, block.start()) + 1
        for words in split_commands(body):
            yield Shown(name, line, words, complete=True)
    sentences = FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
    for command in INLINE.finditer(sentences):
        line = text.count("\n", 0, command.start()) + 1
        for words in split_commands(" ".join(command["text"].split())):
            yield Shown(name, line, words, complete=False)


def check_facebench(words: list[str], complete: bool) -> None:
    """Read a command line of facebench; raise click's own errors for what it does not know."""
    command: click.Command = facebench
    context = click.Context(facebench, info_name="facebench")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            msg = f"no command '{words[0]}'"
            raise click.UsageError(msg)
        command, context = found, click.Context(found, info_name=words[0], parent=context)
        words = words[1:]
    options = [one for one in command.params if isinstance(one, click.Option) and not one.is_flag]
    if not complete and words and any(words[-1] in one.opts for one in options):
        words = [*words, "VALUE"]  # a sentence names the option alone
    given, rest, _ = command.make_parser(context).parse_args(list(words))
    if rest:
        msg = f"too many words: {' '.join(rest)}"
        raise click.UsageError(msg)
    for parameter in command.params:
        value = given.get(str(parameter.name))
        values = value if isinstance(value, list | tuple) else [value]
        texts = [one for one in values if isinstance(one, str)]
        if complete and parameter.required and not texts:
            raise click.MissingParameter(ctx=context, param=parameter)
        for text in texts:
            if not PLACEHOLDER.fullmatch(text):
                parameter.type.convert(text, parameter, context)
                check_name(str(parameter.name), text)


def check_name(parameter: str, text: str) -> None:
    known = NAMES.get(parameter)
    a_file = "." in text or (known is not PROTOCOLS and "/" in text)
    of_example = text.split("/", maxsplit=1)[0] in EXAMPLES
    assert known is None or a_file or of_example or text in known, f"no {parameter} '{text}'"


def check_python(words: list[str], complete: bool) -> None:
    if words[:1] != ["-m"]:
        assert (ROOT / words[0]).is_file() or not complete, f"no file {words[0]}"
    elif words[1] == "facebench":
        check_facebench(words[2:], complete)
    else:
        assert importlib.util.find_spec(words[1]), f"no module {words[1]}"
    for word in words:
        assert not word.startswith("tests/") or (ROOT / word).exists(), f"no file {word}"


def check(shown: Shown) -> None:
    """Fail when the program, a file, an option or a name of a command does not exist."""
    program, words = Path(shown.words[0]).name, shown.words[1:]
    if program == "facebench":
        check_facebench(words, shown.complete)
    elif program in ("python", "python3"):
        check_python(words, shown.complete)
    elif program == "torchrun":
        check_python(words[words.index("-m") :], shown.complete)
    elif program == "pip":
        for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
            assert extra in EXTRAS, f"no extra {extra}"
    elif program in ("bash", "sphinx-build"):
        for word in words:
            assert word.startswith("-") or "_build" in word or (ROOT / word).exists() or word == "html"
    else:
        pytest.fail(f"nothing checks the program '{program}'")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_on_a_page_exists(path):
    wrong = []
    for shown in shown_on(path):
        try:
            check(shown)
        except (click.UsageError, AssertionError) as error:
            said = error.format_message() if isinstance(error, click.UsageError) else error
            wrong.append(f"{shown}\n    {said}")
    assert not wrong, "\n".join(wrong)


def test_commands_in_help_texts_exist():
    def walk(command: click.Command, name: str) -> Iterator[Shown]:
        for line in re.findall(r"  ((?:facebench|torchrun) .*)$", command.help or "", re.M):
            yield Shown(name, 0, shlex.split(line), complete=True)
        if isinstance(command, click.Group):
            for one in command.commands.values():
                yield from walk(one, f"{name} {one.name}")

    found = list(walk(facebench, "facebench"))
    assert {one.words[0] for one in found} == {"facebench", "torchrun"}
    for one in found:
        check(one)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("facebench scores predictions.h5", "no command 'scores'"),
        ("facebench score predictions.h5 --protokol aflw2000/pose", "No such option"),
        ("facebench score predictions.h5 --protocol aflw2000/poses", "no protocols 'aflw2000/poses'"),
        ("facebench score --protocol aflw2000/pose", "Missing parameter"),
        ("facebench score a.h5 b.h5", "too many words: b.h5"),
        ("facebench score a.h5 --missing maybe", "'maybe' is not one of"),
        ("facebench prepare aflw3000 --source X", "no name 'aflw3000'"),
        ("facebench predict aflw2000 --model mnn-xl", "no model 'mnn-xl'"),
        ("facebench leaderboard renew", "no command 'renew'"),
        ("python -m pytest tests/test_nothing.py", "no file tests/test_nothing.py"),
        ("python -m tests.benchmarks.walk", "no module tests.benchmarks.walk"),
        ("pip install 'facebench[gpu]'", "no extra gpu"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line, says):
    (words,) = split_commands(line)
    with pytest.raises((click.UsageError, AssertionError), match=re.escape(says)):
        check(Shown("page.md", 1, words, complete=True))


def test_commands_are_read_as_a_shell_reads_them():
    script = "A=1 facebench info <dataset>  # what it is\nfacebench score \\\n  a.h5 > out.txt && rm 'a b'\n"
    assert list(split_commands(script)) == [
        ["facebench", "info", "DATASET"],
        ["facebench", "score", "a.h5"],
        ["rm", "a b"],
    ]
