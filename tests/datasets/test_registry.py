"""Datasets of other packages come in through entry points, without a change to facebench."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from facebench.cli import main
from facebench.datasets import dataset_names, get_dataset, prepare, registry
from facebench.errors import InvalidData, UsageError
from facebench.formats import open_dataset
from tests.datasets.helpers import MODULE


def test_without_other_packages_there_are_the_built_in_ones():
    assert "aflw2000" in dataset_names()
    assert "thirds" not in dataset_names()


def test_a_dataset_of_another_package_is_listed_and_found(thirds):
    assert dataset_names() == sorted({"aflw2000", "thirds"} | set(dataset_names()))
    assert "thirds" in dataset_names()
    assert get_dataset("thirds").manifest.title == "Thirds"
    with pytest.raises(UsageError, match=r"Unknown dataset 'third'\. Known datasets: .*thirds"):
        get_dataset("third")


def test_a_dataset_of_another_package_is_prepared(thirds, tmp_path):
    done = prepare("thirds", [thirds], tmp_path / "thirds.h5")
    assert done.notes == ["read by its own module"]
    found = open_dataset(done.path)
    assert (found.name, found.ids, found.licence) == ("thirds", ["left", "right"], "Free.")
    assert found["right"].image.shape == (5, 7, 3)
    assert found.provenance["sources"]["release"]["files"] == 1


def test_a_dataset_of_another_package_is_shown_by_the_command_line(thirds, install):
    script = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from facebench.cli import main; main(sys.argv[1:])"
    )
    site = str(install(["thirds = thirds_dataset:DATASET"], thirds_dataset=MODULE))
    done = subprocess.run(
        [sys.executable, "-c", script, site, "info", "thirds"], capture_output=True, text=True, check=True
    )
    assert "Three files of somebody else." in done.stdout


def test_a_built_in_dataset_cannot_be_replaced(install):
    install(["aflw2000 = thirds_dataset:DATASET"], thirds_dataset=MODULE)
    assert get_dataset("aflw2000").manifest.title == "AFLW2000-3D"


@pytest.mark.parametrize(
    ("point", "module"),
    [
        ("thirds = absent_module:DATASET", ""),
        ("thirds = broken_module:DATASET", "raise RuntimeError('broken')"),
        ("thirds = broken_module:DATASET", "OTHER = 1"),
    ],
    ids=["absent", "raises", "lacks it"],
)
def test_a_broken_package_does_not_take_the_others_with_it(install, point, module):
    install([point], broken_module=module)
    assert get_dataset("aflw2000").manifest.title == "AFLW2000-3D"
    assert "aflw2000" in dataset_names()


def test_without_a_number_of_images_and_faults_info_says_nothing_of_them(thirds, capsys, monkeypatch):
    manifest = get_dataset("thirds").manifest
    for images, said in ((1, "2 faces in 1 images. "), (None, "2 faces. ")):
        changed = manifest.model_copy(update={"images": images})
        monkeypatch.setattr(registry, "load_manifest", lambda path, one=changed: one)
        with pytest.raises(SystemExit, match="0"):
            main(["info", "thirds"])
        text = capsys.readouterr().out
        assert said in text
        assert "Known faults" not in text


def test_an_array_that_does_not_fit_is_the_fault_of_the_module(thirds, tmp_path, monkeypatch):
    right = get_dataset("thirds")

    def read(*given):
        release = right.read(*given)
        return replace(release, content=replace(release.content, boxes={"head": np.zeros((2, 3))}))

    monkeypatch.setattr("facebench.datasets.preparation.get_dataset", lambda name: replace(right, read=read))
    with pytest.raises(InvalidData, match=r"/boxes/head: expected shape \(2, 4\).* read") as error:
        prepare("thirds", [thirds], tmp_path / "thirds.h5")
    assert str(error.value).endswith(" The module that reads 'thirds' gives it so, and must be corrected.")
