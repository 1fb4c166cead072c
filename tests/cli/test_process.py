"""What only a process of its own can show: start-up, signals, and streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("numpy", "scipy", "h5py", "cv2", "pandas", "pydantic", "rich", "matplotlib", "jinja2")


@pytest.mark.parametrize("code", ["import facebench", "import facebench.cli"])
def test_importing_loads_nothing_heavy(code):
    asked = f"{code}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["score", "--help"], ["leaderboard", "--help"]])
def test_help_runs_as_a_module(words):
    done = subprocess.run(
        [sys.executable, "-m", "facebench", *words], capture_output=True, text=True, check=True
    )
    assert "facebench" in done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_prepare_leaves_nothing(number, code, tmp_path):
    from facebench.synthetic import draw_aflw2000_tree

    draw_aflw2000_tree(tmp_path / "release", faces=32, seed=0)
    # The image writer is slowed down, so that the signal comes while the file is half written.
    script = (
        "import sys, time, facebench.formats.writer as writer\n"
        "from facebench.cli import main\n"
        "size = writer._image_size\n"
        "def slow(*words):\n"
        "    print('writing', flush=True); time.sleep(0.2); return size(*words)\n"
        "writer._image_size = slow\n"
        "main(sys.argv[1:])\n"
    )
    target = tmp_path / "out" / "aflw2000.h5"
    words = ["prepare", "aflw2000", "--source", tmp_path / "release", "--partial", "-o", target]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "writing"
    time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_closed_pipe_is_not_an_error(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "facebench", "info", "aflw2000"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr


def test_nothing_is_written_into_the_package(tmp_path):
    import facebench

    before = {path for path in Path(facebench.__file__).parent.rglob("*") if "__pycache__" not in path.parts}
    env = {**os.environ, "FACEBENCH_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "facebench", "datasets"], env=env, capture_output=True, check=True)
    after = {path for path in Path(facebench.__file__).parent.rglob("*") if "__pycache__" not in path.parts}
    assert after == before


def test_a_program_that_calls_the_command_line_keeps_its_own_answer_to_signals(run):
    before = signal.getsignal(signal.SIGTERM)
    for words in (["--version"], ["score", "absent.h5"]):
        run(*words)
        assert signal.getsignal(signal.SIGTERM) is before
