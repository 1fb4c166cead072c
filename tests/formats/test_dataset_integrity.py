"""Every byte of a prepared file is covered by its own hash, and damage is told, never a crash."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from facebench.datasets import verify_prepared
from facebench.errors import InvalidData
from facebench.formats import is_intact, open_dataset

# Flips every given byte of a copy and prints, one line each, what checking the copy comes to.
CHECK_DAMAGED = """
import faulthandler, json, sys, traceback
from pathlib import Path
from facebench.datasets import verify_prepared
from facebench.errors import FacebenchError
from facebench.formats import open_dataset

source, copy, flips = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
data = source.read_bytes()
for offset, bits in flips:
    damaged = bytearray(data)
    damaged[offset] ^= bits
    copy.write_bytes(damaged)
    outcome = {}
    faulthandler.dump_traceback_later(10, exit=True)
    checks = {"verify": lambda: verify_prepared(copy)[0].state, "open": lambda: open_dataset(copy)}
    for name, check in checks.items():
        try:
            outcome[name] = str(check())
        except FacebenchError as error:
            outcome[name] = "refused" if str(copy) in str(error) else str(error)
        except BaseException as error:
            outcome[name] = "".join(traceback.format_exception_only(error)).strip()
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps([offset, bits, outcome]), flush=True)
"""


def flip(path, offset, bits=0xFF):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ bits]))


def image_region(path):
    """First byte of the images, and the byte behind their last."""
    with h5py.File(path) as file:
        begin = file["/images/bytes"].id.get_offset()
        return begin, begin + file["/images/bytes"].size


class TestIsIntact:
    @pytest.mark.parametrize("seed", range(8))
    def test_a_flipped_bit_anywhere_behind_the_header(self, toy_path, seed):
        rng = np.random.default_rng(seed)
        flip(toy_path, int(rng.integers(512, toy_path.stat().st_size)), 1 << int(rng.integers(8)))
        assert is_intact(toy_path) is False

    def test_a_flipped_bit_in_every_byte_of_the_header(self, toy_path):
        for offset in range(512):
            flip(toy_path, offset, 1)
            try:
                intact = is_intact(toy_path)
            except InvalidData:  # so damaged that it is no header any more
                intact = False
            assert intact is False, offset
            flip(toy_path, offset, 1)
        assert is_intact(toy_path) is True

    def test_the_padding_of_the_header_counts(self, toy_path):
        assert toy_path.read_bytes()[500] == ord(" ")
        flip(toy_path, 500)
        assert is_intact(toy_path) is False

    def test_the_last_byte_counts(self, toy_path):
        flip(toy_path, toy_path.stat().st_size - 1, 1)
        assert is_intact(toy_path) is False

    @pytest.mark.parametrize("change", [lambda data: data + b"\0", lambda data: data[:-1]])
    def test_a_byte_more_or_less(self, toy_path, change):
        toy_path.write_bytes(change(toy_path.read_bytes()))
        assert is_intact(toy_path) is False

    def test_an_image_changed_through_hdf5_itself(self, toy_path):
        with h5py.File(toy_path, "r+") as file:
            file["/images/bytes"][5] += 1
        assert is_intact(toy_path) is False


class TestVerifyPrepared:
    def test_an_absent_file(self, tmp_path):
        (check,) = verify_prepared(tmp_path / "toy.h5")
        assert (check.name, check.state) == (str(tmp_path / "toy.h5"), "missing")

    def test_a_good_file(self, toy_path):
        (check,) = verify_prepared(toy_path)
        assert (check.name, check.state) == (str(toy_path), "ok")
        assert check.detail == "4 faces, 3 images, every byte as written"

    @pytest.mark.parametrize("seed", range(6))
    def test_a_changed_image_is_named(self, toy_path, seed):
        dataset = open_dataset(toy_path)
        lengths = [len(dataset.encoded_image(row)) for row in range(3)]
        inside = int(np.random.default_rng(seed).integers(sum(lengths)))
        name = dataset.image_paths[int(np.searchsorted(np.cumsum(lengths), inside, side="right"))]
        flip(toy_path, image_region(toy_path)[0] + inside)
        checks = verify_prepared(toy_path)
        assert [check.state for check in checks] == ["invalid", "invalid"]
        assert [check.name for check in checks] == [str(toy_path), f"{toy_path}: {name}"]

    def test_every_changed_image_is_named(self, toy_path):
        begin, end = image_region(toy_path)
        flip(toy_path, begin)
        flip(toy_path, end - 1)
        assert [check.name for check in verify_prepared(toy_path)[1:]] == [
            f"{toy_path}: a.png",
            f"{toy_path}: c.jpg",
        ]

    def test_a_changed_number_is_invalid_and_blames_no_image(self, toy_path):
        with h5py.File(toy_path) as file:
            offset = file["/pose/rotation"].id.get_offset()
        flip(toy_path, offset + 3)
        (check,) = verify_prepared(toy_path)
        assert (check.state, check.name) == ("invalid", str(toy_path))

    def test_another_file_under_its_name(self, toy_path):
        toy_path.write_text("not a dataset", encoding="utf-8")
        (check,) = verify_prepared(toy_path)
        assert check.state == "invalid"
        assert "facebench-dataset" in check.detail

    def test_progress_is_told_while_images_are_compared(self, toy_path):
        seen = []

        def watch(items, total, title):
            seen.append((total, title))
            return items

        flip(toy_path, image_region(toy_path)[0])
        verify_prepared(toy_path, watch)
        assert seen == [(3, "images")]


@pytest.mark.parametrize("part", range(4))
def test_damage_among_the_structures_of_hdf5_is_told_without_a_traceback(toy_path, tmp_path, part):
    """A disk that loses a byte hits the structures as well; the library must not fall over them."""
    begin, end = image_region(toy_path)
    size = toy_path.stat().st_size
    places = [offset for offset in range(512, size) if not begin <= offset < end]
    rng = np.random.default_rng(part)
    chosen = sorted(int(place) for place in rng.choice(places, 50, replace=False))
    flips = [(place, int(rng.choice([1, 0x80, 0xFF]))) for place in chosen]
    words = [sys.executable, "-c", CHECK_DAMAGED, str(toy_path), str(tmp_path / "copy.h5"), json.dumps(flips)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert [flip[:2] for flip in outcomes] == [list(flip) for flip in flips], (
        f"checking the file died or hung (code {done.returncode}) at offset, bits {flips[len(outcomes)]}"
    )
    odd = [
        (offset, bits, outcome)
        for offset, bits, outcome in outcomes
        if outcome["verify"] != "invalid" or not outcome["open"].startswith(("refused", "PreparedDataset("))
    ]
    assert odd == []
