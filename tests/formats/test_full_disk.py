"""A full disk ends in one message that names the file, with exit code 1 and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX limits")

# Runs a job in one child for each limit: no file may grow beyond that many bytes, as on a full disk.
LIMITED = """
import json, os, resource, signal, sys, tempfile
import numpy as np
from facebench.cli import main
import facebench.datasets, facebench.formats, scipy.io

job, release, folder, limits = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])

def run(target):
    if job == "prepare":
        main(["prepare", "aflw2000", "--partial", "--source", release, "-o", target])
    elif job == "predictions":
        points = np.random.default_rng(0).normal(size=(2000, 68, 2))
        words = {"dataset": "toy", "method": "M", "ids": [f"face {n}" for n in range(2000)]}
        call(facebench.formats.write_predictions, target, landmarks=points, **words)
    else:
        call(facebench.formats.write_text, facebench.formats.home.Path(target), "line\\n" * 100_000)

def call(function, *words, **named):
    try:
        function(*words, **named)
    except facebench.errors.FacebenchError as error:
        print(f"facebench: {error}", file=sys.stderr)
        sys.exit(1)

for limit in limits:
    place = os.path.join(folder, str(limit))
    os.mkdir(place)
    target = os.path.join(place, "out.h5")
    with open(target, "w") as older:
        older.write("older")
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            os.dup2(errors.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            run(target)
            sys.exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        text = errors.read().decode()
    with open(target, "rb") as found:
        first = found.read(5).decode()
    print(json.dumps([limit, status, text, first, sorted(os.listdir(place))]), flush=True)
"""


def run_limited(job, release, folder, limits):
    words = [sys.executable, "-c", LIMITED, job, str(release), str(folder), json.dumps(limits)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


# The standard error goes to a file as well, so it needs some room too.
@pytest.mark.parametrize(
    ("job", "limits"),
    [
        ("prepare", [4_000, 20_000, 120_000, 700_000, -1]),
        ("predictions", [4_000, 100_000, 1_500_000]),
        ("text", [4_000, 499_999]),
    ],
)
def test_a_file_that_cannot_grow_any_more(drawn, tmp_path, job, limits):
    limits = [limit if limit > 0 else drawn.stat().st_size - 1 for limit in limits]
    outcomes = run_limited(job, drawn.parent / "release", tmp_path, limits)
    wrong = []
    for limit, code, text, found, left in outcomes:
        target = tmp_path / str(limit) / "out.h5"
        told = text.startswith(f"facebench: {target}: could not be written") and text.count("\n") == 1
        if (code, told, found, left) != (1, True, "older", ["out.h5"]):
            wrong.append({"limit": limit, "code": code, "left": left, "found": found, "text": text[-300:]})
    assert len(outcomes) == len(limits)
    assert wrong == []


def test_a_file_that_just_fits(drawn, tmp_path):
    size = drawn.stat().st_size
    ((_, code, text, _, left),) = run_limited("prepare", drawn.parent / "release", tmp_path, [size])
    assert (code, left) == (0, ["out.h5"]), text
    assert (tmp_path / str(size) / "out.h5").read_bytes() == drawn.read_bytes()


def mount_tiny(folder, kilobytes, command):
    """Run a command with an almost full file system of its own, which nobody else sees."""
    script = (
        'mount -t tmpfs -o size="$1"k tmpfs "$2" && shift 2 && { "$@"; code=$?; ls -A "$LOOK"; exit $code; }'
    )
    words = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", str(kilobytes), str(folder)]
    return subprocess.run(
        [*words, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "LOOK": str(folder)},
    )


@pytest.mark.parametrize("kilobytes", [40, 900])
def test_a_full_file_system(drawn, tmp_path, kilobytes):
    if not shutil.which("unshare") or mount_tiny(tmp_path, 40, ["true"]).returncode:
        pytest.skip("this system lends no file system of its own to a test")
    target = tmp_path / "aflw2000.h5"
    words = ["prepare", "aflw2000", "--partial", "--source", drawn.parent / "release", "-o", target]
    done = mount_tiny(tmp_path, kilobytes, [sys.executable, "-m", "facebench", *words])
    assert (done.returncode, done.stdout) == (1, ""), done.stderr[-300:]
    assert done.stderr.startswith(f"facebench: {target}: could not be written")
    assert "Traceback" not in done.stderr
