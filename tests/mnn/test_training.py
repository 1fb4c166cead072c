from __future__ import annotations

import csv
import shutil

import pytest
import torch
from safetensors.torch import load_file

from facebench.errors import DataMissing, InvalidData, UsageError
from facebench.mnn import processes, training
from facebench.mnn.losses import PARTS
from facebench.mnn.recipe import Recipe
from facebench.mnn.training import draw_curves, pick_device, train
from facebench.mnn.weights import load_weights, save_weights

CPU = torch.device("cpu")
OFTEN = 1e-9  # minutes: a checkpoint after every step
STILL = {"roll": 0.0, "scale": 0.0, "shift": 0.0, "flip": 0.0, "cover": 0.0, "colour": 0.0}


@pytest.fixture(autouse=True)
def log_every_step_and_draw_nothing(monkeypatch):
    monkeypatch.setattr(training, "LOG_EVERY", 1)
    monkeypatch.setattr(training, "draw_curves", lambda folder: None)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def steps(folder):
    return [int(row["step"]) for row in rows(folder / "log.csv")]


def stop_after(count, then=lambda: None):
    """Show progress until so many steps are done, then be interrupted."""
    left = count

    def progress(items, total, title):
        nonlocal left
        for item in items:
            if not left:
                then()
                raise KeyboardInterrupt
            left -= 1
            yield item

    return progress


def interrupted(recipe, folder, count, **options):
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder, device=CPU, progress=stop_after(count, **options))


def same_outcome(folder, other):
    """Weights to the bit, what was measured, and what was logged but for the speed."""
    first, second = (load_file(one / "tiny.safetensors") for one in (folder, other))
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    assert rows(folder / "epochs.csv") == rows(other / "epochs.csv")
    logs = [rows(one / "log.csv") for one in (folder, other)]
    for row in (row for log in logs for row in log):
        row.pop("faces_per_second")
    assert logs[0] == logs[1]


@pytest.fixture(scope="module")
def finished(tiny_recipe, tmp_path_factory):
    """The folder of an undisturbed run, its outcome and what was said."""
    folder, said = tmp_path_factory.mktemp("runs") / "whole", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "LOG_EVERY", 1)
        outcome = train(tiny_recipe(), folder, device=CPU, say=said.append)
    return folder, outcome, said


@pytest.fixture(scope="module")
def per_epoch(finished):
    return len(steps(finished[0])) // 2


def test_a_run_leaves_weights_logs_and_curves(finished, tiny_recipe, per_epoch):
    folder, outcome, said = finished
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.pt", "curves.png", "epochs.csv", "log.csv", "recipe.json", "tiny.safetensors",
    ]  # fmt: skip
    assert outcome.weights == folder / "tiny.safetensors"
    assert load_weights(outcome.weights).architecture == tiny_recipe().model
    assert Recipe.model_validate_json((folder / "recipe.json").read_text()) == tiny_recipe()
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert steps(folder) == list(range(1, 2 * per_epoch + 1))
    log = rows(folder / "log.csv")
    assert [int(row["epoch"]) for row in log] == [0] * per_epoch + [1] * per_epoch
    assert all(float(row[part]) > 0 for row in log for part in ("loss", *PARTS))
    for row in log:
        weighted = sum(PARTS[part] * float(row[part]) for part in PARTS)
        assert float(row["loss"]) == pytest.approx(weighted, abs=1e-3)
    assert said[0].startswith("rendered.h5: 24 faces")
    assert said[1].endswith(f"{2 * per_epoch} steps")
    assert [line.partition(":")[0] for line in said[2:]] == ["epoch 1 of 2", "epoch 2 of 2"]


def test_each_epoch_is_measured_on_the_faces_held_back(finished, per_epoch):
    folder, outcome, _ = finished
    measured = rows(folder / "epochs.csv")
    assert [(int(row["epoch"]), int(row["step"])) for row in measured] == [(1, per_epoch), (2, 2 * per_epoch)]
    assert outcome.validation.keys() == {"points_percent", "pose_degrees", "visibility_ap"}
    for name, value in outcome.validation.items():
        assert float(measured[-1][name]) == pytest.approx(value, abs=1e-4)
    assert 0 < outcome.validation["pose_degrees"] < 180
    assert 0 < outcome.validation["visibility_ap"] <= 100


def test_what_is_kept_is_the_average_over_the_steps(finished):
    state = torch.load(finished[0] / "checkpoint.pt", weights_only=True)
    kept = load_file(finished[1].weights)
    for name, value in kept.items():
        assert torch.equal(state["averaged"][f"module.{name}"], value), name
    assert not torch.equal(state["network"]["stem.0.weight"], kept["stem.0.weight"])


def test_an_average_over_one_step_is_that_step(tiny_recipe, tmp_path):
    kept = load_file(train(tiny_recipe(train={"average": 0.0, "epochs": 1}), tmp_path, device=CPU).weights)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for name, value in kept.items():
        torch.testing.assert_close(state["network"][name], value)


def test_the_rate_rises_and_falls(tiny_recipe, tmp_path):
    how = {"epochs": 4, "warmup": 0.3, "rate": 1e-2}
    train(tiny_recipe(train=how), tmp_path, device=CPU)
    rates = [float(row["rate"]) for row in rows(tmp_path / "log.csv")]
    top = rates.index(max(rates))
    assert 0 < top < len(rates) / 2
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(1e-2, rel=0.01)
    assert rates[-1] == pytest.approx(1e-4, rel=0.1)


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(finished, tiny_recipe, tmp_path):
    train(tiny_recipe(), tmp_path / "again", device=CPU)
    same_outcome(finished[0], tmp_path / "again")
    other = train(tiny_recipe(train={"seed": 1}), tmp_path / "other", device=CPU).weights
    assert not torch.equal(load_file(other)["stem.0.weight"], load_file(finished[1].weights)["stem.0.weight"])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_stopped_after_every_step_ends_with_the_same_weights(tiny_recipe, tmp_path, per_epoch, workers):
    # Another recipe than that of the undisturbed run, since checkpoints are part of it.
    how = tiny_recipe(train={"checkpoint": OFTEN, "workers": workers})
    stride = 1 if not workers else per_epoch - 1
    train(how, tmp_path / "whole", device=CPU)
    for _ in range(2 * per_epoch):
        try:
            train(how, tmp_path / "pieces", device=CPU, progress=stop_after(stride))
        except KeyboardInterrupt:
            continue
        break
    else:
        train(how, tmp_path / "pieces", device=CPU)
    assert steps(tmp_path / "pieces") == list(range(1, 2 * per_epoch + 1))
    same_outcome(tmp_path / "whole", tmp_path / "pieces")


def test_what_was_logged_after_the_last_checkpoint_is_logged_once(tiny_recipe, tmp_path, per_epoch):
    how, folder = tiny_recipe(train={"checkpoint": OFTEN}), tmp_path / "pieces"
    train(how, tmp_path / "whole", device=CPU)
    kept = tmp_path / "older.pt"
    interrupted(how, folder, 1, then=lambda: shutil.copy(folder / "checkpoint.pt", kept))
    interrupted(how, folder, per_epoch)
    assert len(rows(folder / "epochs.csv")) == 1
    shutil.copy(kept, folder / "checkpoint.pt")
    said = []
    train(how, folder, device=CPU, say=said.append)
    assert f"going on at step 1 of {2 * per_epoch}" in said
    same_outcome(tmp_path / "whole", folder)


def test_a_run_stopped_before_its_first_checkpoint_begins_anew(finished, tiny_recipe, tmp_path, per_epoch):
    interrupted(tiny_recipe(), tmp_path, 2)
    assert steps(tmp_path) == [1, 2]
    assert not (tmp_path / "checkpoint.pt").exists()
    train(tiny_recipe(), tmp_path, device=CPU)
    assert steps(tmp_path) == list(range(1, 2 * per_epoch + 1))
    same_outcome(finished[0], tmp_path)


def test_a_log_that_was_only_begun_is_no_trouble(finished, tiny_recipe, tmp_path):
    interrupted(tiny_recipe(), tmp_path, 1)
    (tmp_path / "log.csv").write_text("")
    train(tiny_recipe(), tmp_path, device=CPU)
    same_outcome(finished[0], tmp_path)


def test_a_line_of_the_log_that_was_torn_off_is_logged_again(finished, tiny_recipe, tmp_path, per_epoch):
    interrupted(tiny_recipe(train={"checkpoint": OFTEN}), tmp_path, 2)
    with (tmp_path / "log.csv").open("a", encoding="utf-8") as file:
        file.write("3")  # what is left of "3,0,..." when the power fails
    train(tiny_recipe(train={"checkpoint": OFTEN}), tmp_path, device=CPU)
    assert steps(tmp_path) == list(range(1, 2 * per_epoch + 1))


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_run_stopped_while_it_measures_an_epoch_measures_it_again(
    tiny_recipe, tmp_path, monkeypatch, epoch
):
    how = tiny_recipe(train={"checkpoint": OFTEN})
    whole = train(how, tmp_path / "whole", device=CPU)
    measure, calls = training._Run._watch, []

    def stop(run):
        calls.append(run.step)
        if len(calls) == epoch:
            raise KeyboardInterrupt
        return measure(run)

    monkeypatch.setattr(training._Run, "_watch", stop)
    with pytest.raises(KeyboardInterrupt):
        train(how, tmp_path / "pieces", device=CPU)
    outcome = train(how, tmp_path / "pieces", device=CPU)
    assert outcome.validation == whole.validation
    same_outcome(tmp_path / "whole", tmp_path / "pieces")


def test_a_finished_run_is_not_run_again(finished, tiny_recipe, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    (folder / "tiny.safetensors").unlink()
    outcome = train(tiny_recipe(), folder, device=CPU, progress=stop_after(0))
    assert outcome.validation == finished[1].validation
    same_outcome(finished[0], folder)


def test_another_recipe_in_the_same_folder_is_refused(finished, tiny_recipe):
    before = (finished[0] / "recipe.json").read_bytes()
    with pytest.raises(InvalidData, match="whole: holds the run of another recipe") as caught:
        train(tiny_recipe(train={"rate": 1e-2}), finished[0], device=CPU)
    assert caught.value.exit_code == 1
    assert (finished[0] / "recipe.json").read_bytes() == before


@pytest.mark.parametrize("damage", ["short", "empty", "text", "other"])
def test_a_damaged_checkpoint_is_refused_by_name(finished, tiny_recipe, tmp_path, damage):
    folder = tmp_path / "copy"
    shutil.copytree(finished[0], folder)
    path = folder / "checkpoint.pt"
    whole = path.read_bytes()
    path.write_bytes({"short": whole[: len(whole) // 2], "empty": b"", "text": b"step 3\n"}.get(damage, b""))
    if damage == "other":
        torch.save({"step": 3}, path)
    with pytest.raises(InvalidData, match=r"checkpoint\.pt: cannot be read .* Remove it to begin anew"):
        train(tiny_recipe(), folder, device=CPU)
    path.unlink()
    train(tiny_recipe(), folder, device=CPU)
    same_outcome(finished[0], folder)


def test_few_faces_are_learnt_by_heart(tiny_recipe, tmp_path):
    how = tiny_recipe(
        source={"ids": ["*1?"], "validation": 0.0, "share": 20.0},
        model={"widths": (8, 16, 16, 16, 16), "decoder": 16},
        augmentation=STILL,
        train={"epochs": 2, "batch": 5, "rate": 3e-3},
    )
    outcome = train(how, tmp_path, device=CPU)
    log = rows(tmp_path / "log.csv")
    assert len(log) == 80
    for part in PARTS:
        first, last = (sum(float(row[part]) for row in some) for some in (log[:4], log[-4:]))
        # What a heat map costs at least is the entropy of the bell.
        assert last < (0.9 if part == "heatmaps" else 0.75) * first, part
    assert outcome.validation == {}


def test_weights_to_start_from_are_taken(tiny, tiny_recipe, tmp_path):
    begin = tmp_path / "begin.safetensors"
    save_weights(begin, tiny(size=64), "begin")
    # One step at hardly any rate leaves them nearly as they were.
    how = {"epochs": 1, "batch": 16, "rate": 1e-12, "start": str(begin)}
    found = load_file(train(tiny_recipe(train=how), tmp_path / "run", device=CPU).weights)
    for name, value in load_file(begin).items():
        if "running" not in name:
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-6)


def test_weights_to_start_from_must_be_there_and_fit(tiny, tiny_recipe, tmp_path):
    begin = tmp_path / "begin.safetensors"
    how = tiny_recipe(train={"start": str(begin)})
    with pytest.raises(DataMissing, match=r"begin\.safetensors: no such weights file"):
        train(how, tmp_path / "run", device=CPU)
    save_weights(begin, tiny(decoder=16), "begin")
    with pytest.raises(InvalidData, match=r"begin\.safetensors: .*decoder 16 instead of 8"):
        train(how, tmp_path / "run", device=CPU)


def test_16_bits_learn_too(tiny_recipe, tmp_path):
    outcome = train(tiny_recipe(train={"bfloat16": True, "epochs": 1}), tmp_path, device=CPU)
    assert all(value.dtype == torch.float32 for value in load_file(outcome.weights).values())
    assert outcome.validation.keys() == {"points_percent", "pose_degrees", "visibility_ap"}


@pytest.mark.parametrize(
    ("tasks", "measured", "parts"),
    [
        (("pose",), {"pose_degrees"}, {"pose"}),
        (("landmarks",), {"points_percent"}, {"points", "heatmaps", "placement"}),
        (("visibility", "pose"), {"pose_degrees", "visibility_ap"}, {"pose", "visibility"}),
    ],
)
def test_a_network_of_some_tasks_learns_those(tiny_recipe, tmp_path, tasks, measured, parts):
    how = tiny_recipe(model={"tasks": tasks}, train={"epochs": 1})
    assert train(how, tmp_path, device=CPU).validation.keys() == measured
    (last,) = rows(tmp_path / "log.csv")[-1:]
    assert {part for part in PARTS if float(last[part])} == parts


def test_weights_of_the_loss_are_those_of_the_recipe(finished, tiny_recipe, tmp_path):
    train(tiny_recipe(losses={"points": 0.0, "pose": 10.0}), tmp_path, device=CPU)
    first, usual = (rows(folder / "log.csv")[0] for folder in (tmp_path, finished[0]))
    for part in PARTS:
        assert first[part] == usual[part]
    apart = float(first["loss"]) - float(usual["loss"])
    assert apart == pytest.approx(
        8 * float(first["pose"]) - PARTS["points"] * float(first["points"]), abs=1e-3
    )


def test_a_loss_that_is_no_number_stops_the_run(tiny_recipe, tmp_path):
    with pytest.raises(InvalidData, match=r"step \d+: the loss is no longer a number\. Lower train\.rate"):
        train(tiny_recipe(train={"rate": 1e30, "warmup": 0.0}), tmp_path, device=CPU)


def test_faces_that_do_not_fill_a_batch_are_refused(tiny_recipe, tmp_path):
    with pytest.raises(UsageError, match="do not fill a batch of 64"):
        train(tiny_recipe(train={"batch": 64}), tmp_path, device=CPU)


def test_devices_by_name():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device(None).type in ("cpu", "cuda")
    for name in ("abacus", "meta", "cuda:x"):
        with pytest.raises(UsageError, match=f"Unknown device '{name}'; expected cpu, cuda or cuda:N"):
            pick_device(name)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match=r"No GPU 'cuda' here \(0 found\)"):
        pick_device("cuda")
    assert pick_device(None) == torch.device("cpu")


def test_only_the_first_process_speaks_and_writes(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "rank", lambda: 1)
    said = []
    training._Run(tiny_recipe(), tmp_path / "run", CPU, None, training.no_progress, said.append)
    assert said == []
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(two_processes, tmp_path):
    recipe = Recipe.model_validate_json((two_processes / "fits.json").read_text())
    weights = load_file(train(recipe, tmp_path, device=CPU).weights)
    shared = load_file(two_processes / "fits" / "tiny.safetensors")
    # No softmax sees a bias that all cells share: its gradient is zero but for rounding, which Adam enlarges.
    assert weights.pop("heat.bias").abs().max() < 1
    for name, value in weights.items():
        torch.testing.assert_close(shared[name], value, atol=2e-5, rtol=1e-4, msg=name)
    log, own = (rows(folder / "epochs.csv") for folder in (two_processes / "fits", tmp_path))
    for name, value in own[0].items():
        assert float(log[0][name]) == pytest.approx(float(value), rel=1e-3), name


@pytest.mark.slow
def test_only_the_first_of_two_processes_speaks(two_processes):
    said = [(two_processes / f"said{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert said[0][0] == "rendered.h5: 24 faces"
    refused = "UsageError: train.batch is 5; expected a multiple of the 2 processes."
    assert said[0][-1] == refused
    assert said[1] == [refused]


def test_the_log_is_what_the_curves_are_drawn_of(finished, tmp_path):
    for name in ("log.csv", "epochs.csv"):
        shutil.copy(finished[0] / name, tmp_path / name)
        draw_curves(tmp_path)
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        (tmp_path / "curves.png").unlink()
