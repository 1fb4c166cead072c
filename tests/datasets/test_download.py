"""Archives are fetched from a real server on this machine that behaves as badly as those of the world."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from facebench.cli import main
from facebench.datasets import download as module
from facebench.datasets import get_dataset
from facebench.datasets.download import download, download_release, part_path
from facebench.datasets.manifest import Archive, load_manifest
from facebench.errors import DataMissing, FacebenchError, InvalidData, UsageError
from facebench.synthetic import draw_aflw2000_tree
from tests.datasets.helpers import STACK, flip

DATA = bytes((7 * n + (n >> 8)) % 251 for n in range(300_000))
HALF = 150_000


@dataclass
class Plan:
    """What the server does with one request; the last plan of a path stays."""

    status: int = 200
    body: bytes = DATA
    ranges: bool = True
    drop_after: int | None = None
    pause: float = 0.0
    length: bool = True
    shift: int = 0
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    address: str
    plans: dict[str, list[Plan]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0

    def put(self, path: str, *plans: Plan) -> str:
        self.plans[path] = list(plans)
        return self.address + path

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        server: Server = self.server.known  # type: ignore[attr-defined]
        server.requests.append((self.path, self.headers.get("Range")))
        plans = server.plans.get(self.path, [Plan(404, b"not here")])
        plan = plans.pop(0) if len(plans) > 1 else plans[0]
        body, status, headers = plan.body, plan.status, dict(plan.headers)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and plan.ranges and status == 200:
            begin = int(asked[1])
            if begin >= len(body):
                status, headers["Content-Range"], body = 416, f"bytes */{len(body)}", b""
            else:
                total = len(body)
                body, status = body[begin:], 206
                headers["Content-Range"] = f"bytes {begin + plan.shift}-{total - 1}/{total}"
        self.close_connection = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if plan.length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        body = body[: plan.drop_after]
        try:
            for begin in range(0, len(body), 10_000):
                server.sent += len(body[begin : begin + 10_000])  # before anybody can have read it
                self.wfile.write(body[begin : begin + 10_000])
                time.sleep(plan.pause)
        except OSError:  # the other side went away
            return
        if plan.drop_after is not None:
            self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    listening.known = Server(f"http://127.0.0.1:{listening.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield listening.known  # type: ignore[attr-defined]
    listening.shutdown()
    thread.join()
    listening.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, none of them waited."""
    found: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=found.append))
    return found


def archive(url: str | None, *mirrors: str, **changes: Any) -> Archive:
    facts: dict[str, Any] = {
        "file": "thirds.zip",
        "obtain": "Ask the owners of Thirds.",
        "url": url,
        "mirrors": mirrors,
        "bytes": len(DATA),
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "direct": True,
    }
    return Archive(**{**facts, **changes})


def is_alone(path: Path, data: bytes = DATA) -> bool:
    return path.read_bytes() == data and [one.name for one in path.parent.iterdir()] == [path.name]


def leave(folder: Path, data: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "thirds.zip.part"
    path.write_bytes(data)
    return path


def test_a_file_is_fetched_once(server, tmp_path):
    one = archive(server.put("/thirds.zip", Plan()))
    path = download(one, tmp_path / "raw")
    assert path == tmp_path / "raw" / "thirds.zip"
    assert is_alone(path)
    assert download(one, tmp_path / "raw") == path
    assert server.requests == [("/thirds.zip", None)]


@pytest.mark.parametrize(
    "facts",
    [
        {"sha256": None, "md5": hashlib.md5(DATA).hexdigest()},
        {"sha256": hashlib.sha256(DATA).hexdigest().upper()},
        {"sha256": None},
        {"bytes": None},
        {"bytes": None, "sha256": None},
    ],
)
def test_whatever_is_known_of_it(server, tmp_path, facts):
    one = archive(server.put("/a", Plan()), **facts)
    assert is_alone(download(one, tmp_path))
    assert is_alone(download(one, tmp_path))
    assert len(server.requests) == 1


def test_a_dropped_connection_asks_only_for_the_rest(server, tmp_path, waits):
    url = server.put("/a", Plan(drop_after=100_000), Plan(drop_after=100_000), Plan())
    said: list[str] = []
    assert is_alone(download(archive(url), tmp_path, tell=said.append))
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-"]
    assert server.sent == len(DATA)
    assert waits == [1, 2]
    assert said[0] == "thirds.zip: the connection broke; trying again in 1 s (try 2 of 5)"


def test_a_dropped_connection_without_ranges_begins_again(server, tmp_path, waits):
    url = server.put("/a", Plan(drop_after=100_000, ranges=False), Plan(ranges=False))
    assert is_alone(download(archive(url), tmp_path))
    assert server.sent == len(DATA) + 100_000


def test_what_an_earlier_run_left_is_not_asked_for_again(server, tmp_path):
    leave(tmp_path, DATA[:HALF])
    assert is_alone(download(archive(server.put("/a", Plan())), tmp_path))
    assert server.ranges == [f"bytes={HALF}-"]
    assert server.sent == len(DATA) - HALF


def test_a_part_that_is_complete_is_not_asked_for(server, tmp_path):
    leave(tmp_path, DATA)
    assert is_alone(download(archive(server.put("/a", Plan())), tmp_path))
    assert server.requests == []


def test_a_complete_part_of_unknown_size(server, tmp_path):
    """The server says 416, and with it how long the file is."""
    leave(tmp_path, DATA)
    assert is_alone(download(archive(server.put("/a", Plan()), bytes=None), tmp_path))
    assert server.sent == 0


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_part_that_is_too_long_is_begun_again(server, tmp_path, waits, size):
    leave(tmp_path, DATA + b"more")
    assert is_alone(download(archive(server.put("/a", Plan()), bytes=size), tmp_path))


def test_another_range_than_the_one_asked_for_is_not_appended(server, tmp_path, waits):
    leave(tmp_path, DATA[:HALF])
    assert is_alone(download(archive(server.put("/a", Plan(shift=-1), Plan())), tmp_path))
    assert server.ranges == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_answer_is_waited_for(server, tmp_path, waits, status):
    url = server.put("/a", Plan(status, b"busy"), Plan(status, b"busy", headers={"Retry-After": "7"}), Plan())
    assert is_alone(download(archive(url), tmp_path))
    assert waits == [1, 7]


def test_tries_and_waits_are_bounded(server, tmp_path, waits, monkeypatch):
    monkeypatch.setenv("FACEBENCH_DL_TRIES", "9")
    url = server.put("/a", Plan(503, b"", headers={"Retry-After": "86400"}))
    with pytest.raises(DataMissing) as missing:
        download(archive(url), tmp_path)
    assert "503 Service Unavailable; given up after 9 tries" in str(missing.value)
    assert len(server.requests) == 9
    assert waits == [60] * 8
    assert list(tmp_path.iterdir()) == []


def test_what_came_before_it_was_given_up_is_kept(server, tmp_path, waits):
    url = server.put("/a", Plan(drop_after=HALF), Plan(500, b""))
    with pytest.raises(DataMissing, match="What came is kept, and the next run asks only for the rest"):
        download(archive(url), tmp_path)
    assert part_path(archive(url), tmp_path).read_bytes() == DATA[:HALF]


def test_a_server_that_ignores_ranges_and_always_drops_is_given_up(server, tmp_path, waits, monkeypatch):
    monkeypatch.setattr(module, "GAIN", 50_000)
    url = server.put("/a", Plan(drop_after=100_000, ranges=False))
    with pytest.raises(DataMissing, match="given up after 5 tries"):
        download(archive(url), tmp_path)
    assert len(server.requests) == 5


def test_a_server_that_gives_a_little_each_time_is_not_given_up(server, tmp_path, waits, monkeypatch):
    monkeypatch.setattr(module, "GAIN", 10_000)
    monkeypatch.setenv("FACEBENCH_DL_TRIES", "2")
    assert is_alone(download(archive(server.put("/a", Plan(drop_after=30_000))), tmp_path))
    assert len(server.requests) == 10
    assert set(waits) == {1}


def test_a_silent_server_runs_into_the_timeout(server, tmp_path, waits, monkeypatch):
    monkeypatch.setattr(module, "_setting", lambda name, default: 0.1 if "TIMEOUT" in name else 2)
    url = server.put("/a", Plan(pause=0.4))
    with pytest.raises(DataMissing, match="the server did not answer in time; given up after 2 tries"):
        download(archive(url), tmp_path)


def test_a_slow_server_is_waited_for(server, tmp_path):
    assert is_alone(download(archive(server.put("/a", Plan(pause=0.01))), tmp_path))


def test_nobody_listens(tmp_path, waits, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        with pytest.raises(DataMissing, match=r"no connection \(.*refused.*\); given up after 5 tries"):
            download(archive(url), tmp_path)


@pytest.mark.parametrize("name", ["FACEBENCH_DL_TRIES", "FACEBENCH_DL_TIMEOUT"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf"])
def test_settings_that_are_none(server, tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name}={value}: expected a number"):
        download(archive(server.put("/a", Plan())), tmp_path)


def test_wrong_bytes_are_removed_and_named(server, tmp_path):
    wrong = DATA[:-1] + b"?"
    one = archive(server.put("/a", Plan(body=wrong)))
    with pytest.raises(InvalidData) as invalid:
        download(one, tmp_path)
    message = str(invalid.value)
    for needed in (
        str(tmp_path / "thirds.zip"),
        f"{server.address}/a: expected sha256 {one.sha256}, found {hashlib.sha256(wrong).hexdigest()}",
        "The bytes were removed. Run the command again",
        "--source",
        one.obtain,
    ):
        assert needed in message
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_is_found_at_the_end(server, tmp_path):
    leave(tmp_path, b"?" + DATA[1:HALF])
    one = archive(server.put("/a", Plan()))
    with pytest.raises(InvalidData):
        download(one, tmp_path)
    assert is_alone(download(one, tmp_path))


def test_a_page_instead_of_the_file_is_not_even_read(server, tmp_path):
    url = server.put("/a", Plan(body=b"<html>Please log in</html>"))
    with pytest.raises(InvalidData, match=f"expected {len(DATA)} bytes, the server has 26"):
        download(archive(url), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_server_that_announces_no_length(server, tmp_path, waits, extra):
    body = DATA[:extra] if extra < 0 else DATA + b"?"
    with pytest.raises(InvalidData, match="not the published file"):
        download(archive(server.put("/a", Plan(body=body, length=False))), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert is_alone(download(archive(server.put("/a", Plan(length=False))), tmp_path))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_says_how_to_obtain_it(server, tmp_path, status):
    with pytest.raises(DataMissing) as missing:
        download(archive(server.put("/a", Plan(status, b"no"))), tmp_path)
    assert f"{server.address}/a: the server answered {status}" in str(missing.value)
    assert "Ask the owners of Thirds." in str(missing.value)
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_mirrors_are_tried_in_order(server, tmp_path, waits):
    urls = [
        server.put("/refused", Plan(403, b"")),
        server.put("/wrong", Plan(body=DATA[::-1])),
        server.put("/gone", Plan(404, b"")),
        server.put("/good", Plan()),
        server.put("/never", Plan()),
    ]
    said: list[str] = []
    assert is_alone(download(archive(*urls), tmp_path, tell=said.append))
    assert [path for path, _ in server.requests] == ["/refused", "/wrong", "/gone", "/good"]
    assert said[0] == f"thirds.zip: {server.address}/refused: the server answered 403 Forbidden"


def test_a_mirror_gives_the_rest_of_what_another_began(server, tmp_path, waits):
    urls = [server.put("/a", Plan(drop_after=HALF), Plan(500, b"")), server.put("/b", Plan())]
    assert is_alone(download(archive(*urls), tmp_path))
    assert server.requests[-1] == ("/b", f"bytes={HALF}-")


def test_without_a_hash_a_mirror_begins_anew(server, tmp_path, waits):
    urls = [server.put("/a", Plan(drop_after=HALF), Plan(500, b"")), server.put("/b", Plan())]
    assert is_alone(download(archive(*urls, sha256=None), tmp_path))
    assert server.requests[-1] == ("/b", None)


def test_redirects_are_followed(server, tmp_path):
    """What the server calls the file does not matter."""
    named = {"Content-Disposition": 'attachment; filename="../../evil.zip"'}
    server.put("/there/evil.zip", Plan(headers=named))
    url = server.put("/a", Plan(302, b"", headers={"Location": "/there/evil.zip"}))
    leave(tmp_path, DATA[:HALF])
    assert is_alone(download(archive(url), tmp_path))
    assert server.requests[-1] == ("/there/evil.zip", f"bytes={HALF}-")


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/a", "/a"])
def test_redirects_elsewhere_or_in_circles_are_not(server, tmp_path, place):
    url = server.put("/a", Plan(302, b"", headers={"Location": place}))
    with pytest.raises(DataMissing, match="not followed"):
        download(archive(url), tmp_path)
    assert len(server.requests) <= 11


def test_a_compressing_server_does_not_change_the_bytes(server, tmp_path):
    """A .tgz is often announced as a .tar with an encoding."""
    import gzip

    packed = gzip.compress(DATA, mtime=0)
    url = server.put("/a", Plan(body=packed, headers={"Content-Encoding": "gzip"}))
    one = archive(url, bytes=len(packed), sha256=hashlib.sha256(packed).hexdigest())
    assert is_alone(download(one, tmp_path), packed)


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_disk_that_is_too_small(server, tmp_path, monkeypatch, size):
    leave(tmp_path, DATA[:HALF])
    one = archive(server.put("/a", Plan()), bytes=size)
    usage = SimpleNamespace(free=len(DATA) - HALF - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FacebenchError, match=r"thirds\.zip needs 0\.1 MB more, 0\.1 MB are free"):
        download(one, tmp_path)
    assert part_path(one, tmp_path).read_bytes() == DATA[:HALF]
    usage.free += 1
    assert is_alone(download(one, tmp_path))


def test_a_disk_that_fills_up_meanwhile(server, tmp_path, monkeypatch):
    append = module._Part.append

    def full(part, block):
        append(part, block)
        if part.size > HALF:
            raise OSError(28, "No space left on device", str(part.path))

    one = archive(server.put("/a", Plan()))
    monkeypatch.setattr(module._Part, "append", full)
    with pytest.raises(FacebenchError, match=r"thirds\.zip\.part: could not be written \(No space left"):
        download(one, tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "*")
    assert is_alone(download(one, tmp_path))
    assert server.ranges[1] is not None


def test_a_folder_that_is_none(server, tmp_path):
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(FacebenchError, match="raw: could not be written"):
        download(archive(server.put("/a", Plan())), tmp_path / "raw")


def test_a_file_of_the_user_is_never_replaced(server, tmp_path):
    (tmp_path / "thirds.zip").write_bytes(DATA[::-1])
    with pytest.raises(InvalidData, match="re-packed copy, give it as --source"):
        download(archive(server.put("/a", Plan())), tmp_path)
    assert is_alone(tmp_path / "thirds.zip", DATA[::-1])
    assert server.requests == []


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_two_at_a_time(server, tmp_path):
    import fcntl

    with leave(tmp_path, DATA[:HALF]).open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(FacebenchError, match="another process is fetching it"):
            download(archive(server.put("/a", Plan())), tmp_path)
    assert (tmp_path / "thirds.zip.part").read_bytes() == DATA[:HALF]


def test_progress_counts_every_byte_once(server, tmp_path, waits):
    shown: list[list[Any]] = []

    def progress(blocks, done, total, title):
        shown.append([title, done, total, 0])
        for block in blocks:
            shown[-1][3] += len(block)
            yield block

    leave(tmp_path, DATA[:50_000])
    download(archive(server.put("/a", Plan(drop_after=100_000), Plan())), tmp_path, progress)
    assert shown == [
        ["resuming thirds.zip", 0, 50_000, 50_000],
        ["thirds.zip", 50_000, 300_000, 100_000],
        ["thirds.zip", 150_000, 300_000, 150_000],
    ]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"file": "../thirds.zip"}, "must be a name that a file can have"),
        ({"file": ".hidden"}, "must be a name"),
        ({"file": "a b.zip"}, "must be a name"),
        ({"url": None}, "needs addresses of http"),
        ({"url": "file:///etc/passwd"}, "needs addresses of http"),
        ({"mirrors": ("ftp://example.org/a",)}, "needs addresses of http"),
    ],
)
def test_a_manifest_with_an_address_that_cannot_be(facts, message):
    with pytest.raises(ValidationError, match=message):
        Archive(**{"file": "a.zip", "obtain": "", "url": "http://example.org/a", "direct": True, **facts})
    Archive(**{"file": "a.zip", "obtain": "", **facts})


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """A drawn AFLW2000-3D as a zip; the second labelling lies beside it."""
    folder = tmp_path_factory.mktemp("packed")
    draw_aflw2000_tree(folder / "tree" / "AFLW2000", faces=36, seed=3)
    shutil.move(folder / "tree" / "AFLW2000" / STACK, folder / STACK)
    return Path(shutil.make_archive(str(folder / "AFLW2000-3D"), "zip", folder / "tree"))


@pytest.fixture
def published(server, packed, monkeypatch) -> Plan:
    """AFLW2000-3D as drawn faces, given out by the server."""
    data = packed.read_bytes()
    manifest = get_dataset("aflw2000").manifest
    plan = Plan(body=data)
    facts = {"file": "AFLW2000-3D.zip", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    one = archive(server.put("/a", plan), **facts)
    archives = (one, *manifest.archives[1:])
    monkeypatch.setitem(manifest.__dict__, "archives", archives)
    return plan


def run(capsys, *words: object) -> SimpleNamespace:
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    return SimpleNamespace(code=stopped.value.code or 0, out=captured.out, err=captured.err)


def test_prepare_fetches_then_prepares(server, published, tmp_path, capsys):
    words = ("prepare", "aflw2000", "--download", "--partial", "--home", tmp_path / "home")
    done = run(capsys, *words)
    assert (done.code, "36 faces" in done.out) == (0, True)
    assert "no redistribution" in done.err
    assert is_alone(tmp_path / "home" / "raw" / "aflw2000" / "AFLW2000-3D.zip", published.body)
    assert run(capsys, *words, "--raw", tmp_path / "home" / "raw" / "aflw2000").code == 0
    assert len(server.requests) == 1


def test_prepare_takes_further_sources(published, packed, tmp_path, capsys):
    labels = packed.parent / STACK
    done = run(
        capsys, "prepare", "aflw2000", "--download", "--raw", tmp_path / "raw", "--source", labels,
        "--partial", "-o", tmp_path / "a.h5",
    )  # fmt: skip
    assert (done.code, "reannotated" in done.out) == (0, True)
    assert (tmp_path / "raw" / "AFLW2000-3D.zip").is_file()


def test_prepare_without_a_direct_address_says_what_to_do(thirds, capsys):
    done = run(capsys, "prepare", "thirds", "--download")
    assert done.code == 3
    assert "thirds: not for direct download" in done.err
    assert "Then run: facebench prepare thirds" in done.err


def test_instructions_name_every_file():
    manifest = get_dataset("aflw2000").manifest
    closed = tuple(one.model_copy(update={"direct": False}) for one in manifest.archives)
    with pytest.raises(DataMissing) as missing:
        download_release(manifest.model_copy(update={"archives": closed}), Path("nowhere"))
    for one in manifest.archives:
        assert one.file in str(missing.value)
        assert one.obtain in str(missing.value)
    assert "facebench prepare aflw2000 --source RELEASE" in str(missing.value)


def test_every_direct_archive_is_fetched(server, tmp_path):
    two = [archive(server.put(f"/{name}", Plan()), file=name) for name in ("a.zip", "b.zip")]
    manifest = get_dataset("aflw2000").manifest.model_copy(update={"archives": tuple(two)})
    assert [path.name for path in download_release(manifest, tmp_path)] == ["a.zip", "b.zip"]


def test_raw_without_download_is_a_mistake(capsys, tmp_path):
    done = run(capsys, "prepare", "aflw2000", "--raw", tmp_path)
    assert (done.code, "--download" in done.err) == (2, True)


def test_aflw2000_may_be_fetched(capsys):
    assert [one.file for one in get_dataset("aflw2000").manifest.archives if one.direct] == [
        "AFLW2000-3D.zip"
    ]
    assert "facebench prepare aflw2000 --download" in run(capsys, "info", "aflw2000").out


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_what_came_and_the_next_run_asks_for_the_rest(
    server, published, tmp_path, capsys, number, code
):
    data = published.body
    published.pause = 0.02
    script = (
        "import sys\n"
        "from facebench.cli import main\n"
        "from facebench.datasets import get_dataset\n"
        "from facebench.datasets.manifest import Archive\n"
        "one = Archive.model_validate_json(sys.argv.pop(1))\n"
        "get_dataset('aflw2000').manifest.__dict__['archives'] = (one,)\n"
        "main(sys.argv[1:])\n"
    )
    one = get_dataset("aflw2000").manifest.archives[0]
    words = ["prepare", "aflw2000", "--download", "--partial", "--home", str(tmp_path / "home")]
    process = subprocess.Popen(
        [sys.executable, "-c", script, one.model_dump_json(), *words], stderr=subprocess.PIPE, text=True
    )
    part = part_path(one, tmp_path / "home" / "raw" / "aflw2000")
    until = time.monotonic() + 20
    while not (part.is_file() and part.stat().st_size) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    came = part.stat().st_size
    assert process.returncode == code
    assert 0 < came < len(data)
    assert f"{part}: {came} bytes are kept; the same command asks only for the rest." in err
    assert "Traceback" not in err
    published.pause = 0.0
    server.requests.clear()
    assert run(capsys, *words).code == 0
    assert server.ranges == [f"bytes={came}-"]
    assert is_alone(part.with_suffix(""), data)


def test_nothing_of_a_terminal_is_written_to_a_file(published, tmp_path, capsys):
    done = run(capsys, "prepare", "aflw2000", "--download", "--partial", "--home", tmp_path / "home")
    assert "\x1b" not in done.err
    assert "%" not in done.err


def test_the_bar_of_a_terminal(monkeypatch, capsys):
    from facebench.cli.data import _show_bytes

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    blocks = [DATA[:1000], DATA[1000:3000]]
    assert list(_show_bytes(blocks, 1000, 4000, "thirds.zip")) == blocks
    assert list(_show_bytes(blocks, 0, None, "thirds.zip")) == blocks


def test_manifests_still_load_from_their_files():
    assert load_manifest(get_dataset("aflw2000").manifest.folder / "aflw2000.toml").archives[0].mirrors == ()


def test_a_flipped_bit_of_a_complete_part_is_found(server, tmp_path):
    flip(leave(tmp_path, DATA), 17)
    with pytest.raises(InvalidData):
        download(archive(server.put("/a", Plan())), tmp_path)
    assert list(tmp_path.iterdir()) == []
