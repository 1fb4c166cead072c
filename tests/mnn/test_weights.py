from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.mnn.architecture import Architecture
from facebench.mnn.weights import find_model, load_weights, save_weights


@pytest.fixture
def network(tiny):
    """A network that has seen something: its running means and variances are those of pictures."""
    network = tiny()
    nn.init.normal_(network.seen)
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(4, 3, 32, 32))
    return network.eval()


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, network, "tiny")
    return path


def state(network):
    return {name: value for name, value in network.state_dict().items() if "num_batches" not in name}


def test_what_was_saved_is_loaded(network, saved):
    found = load_weights(saved)
    assert found.architecture == network.architecture
    assert not found.training
    for name, value in state(network).items():
        assert torch.equal(state(found)[name], value), name
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        out, again = network(images), found(images)
    assert all(torch.equal(out[name], again[name]) for name in out)


def test_the_header_says_what_it_is(saved):
    from safetensors import safe_open

    with safe_open(saved, framework="pt") as file:
        header = file.metadata()
    assert (header["format"], header["version"], header["name"]) == ("facebench-weights", "1", "tiny")
    assert Architecture.model_validate_json(header["architecture"]).size == 32


def test_any_shape_is_kept(tiny, tmp_path):
    shape = {
        "scheme": "cofw29", "widths": (4, 6, 8), "stride": 2, "lateral": False, "pose_at": "decoder",
        "tasks": ("visibility", "pose"),
    }  # fmt: skip
    network = tiny(**shape).to(memory_format=torch.channels_last)
    save_weights(tmp_path / "other.safetensors", network, "other")
    found = load_weights(tmp_path / "other.safetensors", network.architecture)
    assert found.architecture == network.architecture
    assert all(torch.equal(state(found)[name], value) for name, value in state(network).items())


def test_half_precision_is_half_as_large_and_nearly_the_same(tiny, tmp_path):
    network = tiny(widths=(8, 16, 32, 32, 32), decoder=32)
    for name, half in (("whole", False), ("half", True)):
        save_weights(tmp_path / name, network, name, half=half)
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "whole").stat().st_size
    found = load_weights(tmp_path / "half")
    assert {value.dtype for value in state(found).values()} == {torch.float32}
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        out, again = network(images), found(images)
    assert any(not torch.equal(out[name], again[name]) for name in out)
    for name in out:
        torch.testing.assert_close(again[name], out[name], atol=0.02, rtol=0.02)


def test_saving_leaves_the_network_alone_and_replaces_an_older_file(network, saved):
    save_weights(saved, network, "again", half=True)
    assert {value.dtype for value in state(network).values()} == {torch.float32}
    assert load_weights(saved).architecture == network.architecture
    assert [path.name for path in saved.parent.iterdir()] == ["tiny.safetensors"]


def test_the_expected_shape_may_differ_in_size_only(network, saved):
    shape = network.architecture
    assert load_weights(saved, shape.model_copy(update={"size": 64})).architecture.size == 32
    with pytest.raises(InvalidData, match=r"tiny\.safetensors: of another shape .*: stride 4 instead of 8\."):
        load_weights(saved, shape.model_copy(update={"size": 64, "stride": 8}))
    with pytest.raises(InvalidData, match="lateral True instead of False, pose_at 'bottleneck' instead"):
        load_weights(saved, shape.model_copy(update={"lateral": False, "pose_at": "decoder"}))


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(DataMissing, match=rf"{path.name}: no such weights file") as caught:
            load_weights(path)
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_that_was_cut_short(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(InvalidData, match=r"tiny\.safetensors: not a whole safetensors file") as caught:
        load_weights(saved)
    assert caught.value.exit_code == 1


def test_a_file_of_something_else(saved):
    saved.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    with pytest.raises(InvalidData, match=r"tiny\.safetensors: not a whole safetensors file"):
        load_weights(saved)


@pytest.mark.parametrize(
    ("header", "match"),
    [
        (None, r"not a weights file of facebench, version 1 \(format None\)"),
        ({"format": "pt"}, r"not a weights file of facebench, version 1 \(format 'pt'\)"),
        ({"version": "2"}, "not a weights file of facebench, version 1"),
        ({"architecture": "{"}, "header does not describe a network"),
        ({"architecture": "null"}, "header does not describe a network"),
        ({"architecture": '{"size": "big"}'}, "header does not describe a network"),
        ({"architecture": '{"scheme": "many"}'}, "header does not describe a network"),
        ({"architecture": '{"widths": []}'}, "header does not describe a network"),
        ({"architecture": None}, "header does not describe a network"),
        ({"architecture": "{}"}, "does not fit its own header"),
    ],
)
def test_a_header_of_something_else(network, saved, header, match):
    good = {"format": "facebench-weights", "version": "1", "architecture": "{}"}
    if header is not None:
        header = {key: value for key, value in {**good, **header}.items() if value is not None}
    save_file({name: value.contiguous() for name, value in state(network).items()}, saved, metadata=header)
    with pytest.raises(InvalidData, match=rf"tiny\.safetensors: .*{match}") as caught:
        load_weights(saved)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("what", ["missing", "more", "shape"])
def test_weights_that_do_not_fit_their_header_are_named(network, saved, what):
    tensors = {name: value.contiguous() for name, value in state(network).items()}
    if what == "missing":
        tensors.pop("entry.bias")
    elif what == "more":
        tensors["entry.bias2"] = torch.zeros(3)
    else:
        tensors["entry.bias"] = torch.zeros(3)
    header = {
        "format": "facebench-weights", "version": "1", "architecture": network.architecture.model_dump_json()
    }  # fmt: skip
    save_file(tensors, saved, metadata=header)
    with pytest.raises(InvalidData, match=r"tiny\.safetensors: does not fit its own header: entry\.bias"):
        load_weights(saved)


@pytest.fixture
def shipped(saved, monkeypatch):
    """A folder of shipped models that holds one."""
    card = {"name": "tiny", "training_data": "rendered", "licence": "MIT"}
    card["sha256"] = hashlib.sha256(saved.read_bytes()).hexdigest()
    saved.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    monkeypatch.setattr("facebench.mnn.weights._models", lambda: saved.parent)
    return saved


def test_a_shipped_model_is_found_by_its_name(shipped):
    path, card = find_model("tiny")
    assert (path, card.name, card.training_data) == (shipped, "tiny", "rendered")
    assert load_weights(path).architecture.size == 32


def test_one_s_own_weights_are_found_by_their_path(shipped):
    assert find_model("elsewhere/tiny.safetensors") == (Path("elsewhere/tiny.safetensors"), None)


def test_an_unknown_model_is_refused_with_the_known_ones(shipped):
    with pytest.raises(UsageError, match="Unknown model 'huge'. Known: tiny") as caught:
        find_model("huge")
    assert caught.value.exit_code == 2


def test_shipped_weights_that_are_not_those_of_their_card_are_refused(shipped):
    shipped.write_bytes(shipped.read_bytes() + b"\0")
    with pytest.raises(InvalidData, match=r"tiny\.safetensors: has the SHA-256"):
        find_model("tiny")
