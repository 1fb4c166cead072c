"""The commands around models: train, predict, export --onnx."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

RECIPE = """
name = "tiny"
[model]
size = 32
widths = [4, 8, 8, 8, 8]
blocks = 1
decoder = 8
[[data]]
dataset = "{data}"
annotations = ["truth"]
exact = true
[train]
epochs = 1
batch = 4
workers = 0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from facebench.datasets import prepare

    folder = tmp_path_factory.mktemp("models")
    prepare("rendered", [], folder / "faces.h5", faces=12, seed=5)
    (folder / "tiny.toml").write_text(RECIPE.format(data=folder / "faces.h5"))
    return folder


@pytest.fixture
def weights(folder, run):
    target = folder / "run" / "tiny.safetensors"
    if not target.exists():
        assert run("train", folder / "tiny.toml", "-o", folder / "run", "--device", "cpu").code == 0
    return target


def test_train_says_where_the_weights_are_and_what_was_measured(folder, run):
    done = run("train", folder / "tiny.toml", "-o", folder / "other", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert found["weights"].endswith("other/tiny.safetensors")
    assert "epoch 1 of 1" in done.err
    left = {path.name for path in (folder / "other").iterdir()}
    assert left == {"epochs.csv", "curves.png", "recipe.json", "checkpoint.pt", "tiny.safetensors"}


def test_predictions_of_own_weights_are_scored(folder, weights, run):
    target = folder / "p.h5"
    data = folder / "faces.h5"
    done = run("predict", "rendered", "--model", weights, "--data", data, "-o", target, "--mirror")
    assert (done.code, done.out) == (0, f"{target}  (12 faces)\n")
    scored = run("score", target, "--data", data, "--protocol", "rendered/pose", "--json")
    assert scored.code == 0
    assert "box:landmarks" in scored.out
    assert "tiny (mirrored too)" in scored.out


def test_onnx_is_compared_before_it_is_kept(folder, weights, run):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    done = run("export", weights, "--onnx", "-o", folder / "tiny.onnx", "--json")
    assert done.code == 0
    assert json.loads(done.out)["largest_difference"] < 1e-3
    assert (folder / "tiny.onnx").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("train", "none.toml"), 3, "none.toml: no such recipe"),
        (("train", "RECIPE", "--device", "tpu"), 2, "Unknown device 'tpu'"),
        (("train", "RECIPE", "--device", "cuda:7"), 2, "No GPU 'cuda:7' here"),
        (("predict", "rendered", "--model", "mnn-xxl"), 2, "Unknown model 'mnn-xxl'. Known: "),
        (("predict", "rendered", "--model", "none.safetensors"), 3, "none.safetensors: no such weights file"),
        (("predict", "--model", "zero-pose"), 2, "Give a dataset, or --images with --boxes"),
        (("predict", "rendered", "--model", "zero-pose", "--images", "x"), 2, "Give a dataset, or --images"),
        (("predict", "--model", "zero-pose", "--images", "x", "--boxes", "y"), 2, "is for a dataset"),
        (("export", "rendered", "-o", "x"), 2, "Give --format for a dataset, or --onnx"),
        (("export", "rendered", "--onnx", "--format", "csv", "-o", "x"), 2, "or --onnx alone for a model"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(folder, run, monkeypatch, words, code, message):
    monkeypatch.chdir(folder)
    done = run(*(folder / "tiny.toml" if word == "RECIPE" else word for word in words))
    assert done.code == code
    assert message in done.err
    assert done.out == ""


def test_damaged_weights_are_refused(folder, weights, run):
    cut = folder / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-100])
    done = run("predict", "rendered", "--model", cut, "--data", folder / "faces.h5")
    assert done.code == 1
    assert "cut.safetensors: not a whole safetensors file" in done.err
