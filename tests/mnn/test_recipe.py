from __future__ import annotations

from pathlib import Path

import pytest

import facebench.mnn
from facebench.errors import DataMissing, InvalidData
from facebench.mnn.architecture import MODELS
from facebench.mnn.augmentation import Augmentation
from facebench.mnn.losses import PARTS
from facebench.mnn.recipe import Recipe, read_recipe

GOOD = """
name = "try-1.0"

[model]
base = "mnn-s"
size = 64
widths = [4, 8, 8]

[[data]]
dataset = "rendered"
annotations = ["truth"]
exact = true
share = 0.5

[[data]]
dataset = "~/300w.h5"
annotations = ["ibug68", "other"]
ids = ["helen/*"]
without = ["test"]
fit_turn = 7.3

[augmentation]
roll = 20.0

[losses]
pose = 3

[train]
epochs = 4
rate = 2e-3
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "try.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_recipe_says_everything(written):
    recipe = read_recipe(written(GOOD))
    assert recipe.name == "try-1.0"
    assert (recipe.model.size, recipe.model.widths) == (64, (4, 8, 8))
    assert recipe.model.decoder == MODELS["mnn-s"]["decoder"]
    assert [one.dataset for one in recipe.data] == ["rendered", "~/300w.h5"]
    assert recipe.data[0].exact
    assert recipe.data[1].annotations == ("ibug68", "other")
    assert recipe.data[1].without == ("test",)
    assert recipe.augmentation == Augmentation(roll=20.0)
    assert recipe.weights == {**PARTS, "pose": 3.0}
    assert (recipe.train.epochs, recipe.train.rate, recipe.train.batch) == (4, 2e-3, 64)


def test_a_recipe_can_be_kept_as_json(written):
    recipe = read_recipe(written(GOOD))
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_a_shape_without_base_is_one_too(written):
    assert read_recipe(written(GOOD.replace('base = "mnn-s"', "blocks = 1"))).model.blocks == 1


@pytest.mark.parametrize("path", sorted(Path(facebench.mnn.__file__).parent.glob("recipes/*.toml")), ids=str)
def test_recipes_that_come_with_facebench_are_recipes(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert all(one.annotations for one in recipe.data)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[train]", "[train]\nspeed = 3", "train.speed"),
        ("[augmentation]", "[augmentation]\nrol = 3", "augmentation.rol"),
        ("roll = 20.0", 'roll = "far"', "augmentation.roll"),
        ("roll = 20.0", "roll = 400", "augmentation.roll"),
        ("roll = 20.0", "flip = 1.5", "augmentation.flip"),
        ("roll = 20.0", "colour = -1", "augmentation.colour"),
        ("share = 0.5", "shares = 0.5", "data.0.shares"),
        ("share = 0.5", "share = 0", "data.0.share"),
        ("size = 64", "size = 64\ndepth = 3", "model.depth"),
        ("epochs = 4", 'epochs = "many"', "train.epochs"),
        ("epochs = 4", "epochs = 0", "train.epochs"),
        ("rate = 2e-3", "rate = -1.0", "train.rate"),
        ('name = "try-1.0"', 'name = "Try 1"', "name"),
        ('name = "try-1.0"', "", "name"),
        ('annotations = ["truth"]', "", "data.0.annotations"),
        ('annotations = ["truth"]', "annotations = []", "data.0.annotations"),
        ('dataset = "~/300w.h5"', "dataset = 300", "data.1.dataset"),
        ('base = "mnn-s"', 'base = "mnn-xl"', "model.base is 'mnn-xl'; expected one of mnn, mnn-s"),
        ('base = "mnn-s"', 'base = ["mnn-s"]', "model.base"),
        ("pose = 3", "gaze = 3", "losses: unknown gaze; expected points"),
        ("pose = 3", 'pose = "much"', "losses.pose"),
        ("size = 64", "size = 100", "model.size is 100; expected a multiple of 8"),
        ("size = 64", "size = 7", "model.size"),
        ("widths = [4, 8, 8]", "widths = [4]", "model.widths"),
        ("size = 64", 'scheme = "cofw29"', "model.scheme is 'cofw29'"),
        ("[train]", "[training]", "training"),
    ],
)
def test_a_bad_recipe_is_refused_with_its_file_and_key(written, old, new, named):
    assert old in GOOD
    path = written(GOOD.replace(old, new))
    with pytest.raises(InvalidData, match=r"try\.toml: ") as caught:
        read_recipe(path)
    assert named in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("text", ['name = "a"\n[model]\n', 'name = "a"\ndata = []\n[model]\n'])
def test_a_recipe_needs_data(written, text):
    with pytest.raises(InvalidData, match=r"try\.toml: not a recipe\.\n  data: "):
        read_recipe(written(text))


@pytest.mark.parametrize("text", ["name = \n", "just words", b"\xff\xfe", "[model\n"])
def test_what_is_not_toml_is_refused(written, text):
    with pytest.raises(InvalidData, match=r"try\.toml: cannot be read as TOML \(.+\)"):
        read_recipe(written(text))


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(InvalidData, match=f"{tmp_path.name}: cannot be read"):
        read_recipe(tmp_path)


def test_a_recipe_that_is_not_there(tmp_path):
    with pytest.raises(DataMissing, match=r"nothing\.toml: no such recipe") as caught:
        read_recipe(tmp_path / "nothing.toml")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("weight", ["-1.0", "nan"])
def test_a_weight_of_the_loss_is_not_negative(written, weight):
    with pytest.raises(InvalidData, match=r"try\.toml: .*\n  losses\.pose"):
        read_recipe(written(GOOD.replace("pose = 3", f"pose = {weight}")))
