"""What the documentation shows is what the commands print, on genuine data too; forms ask for what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from facebench.datasets import dataset_names, get_dataset
from facebench.protocols import protocols_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROTOCOLS = {protocol.name: protocol for name in dataset_names() for protocol in protocols_of(name)}


def test_the_examples_on_genuine_data_print_what_the_pages_show(real_data, two_dasl, tmp_path):
    for path in (
        real_data / "raw" / "AFLW2000-3D.zip",
        real_data / "raw" / "AFLW2000-3D-Reannotated.pts68.npy",
        two_dasl,
    ):
        (tmp_path / path.name).symlink_to(path)
    pages = [
        path
        for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
        if "_build" not in path.parts and "<!-- needs: AFLW2000-3D.zip" in path.read_text(encoding="utf-8")
    ]
    assert DOCS / "tutorial.md" in pages
    done = subprocess.run(
        [sys.executable, DOCS / "check_examples.py", "--data", tmp_path, *pages],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "others need" not in done.stdout


def test_statements_stand_only_in_blocks_that_are_run():
    block = re.compile(r"^(`{3,})(?P<language>[^\n`]*)\n(?P<body>.*?)^\1$", re.M | re.S)
    pages = [path for path in DOCS.rglob("*.md") if not {"_build", "generated"} & set(path.parts)]
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages):
        for one in block.finditer(path.read_text(encoding="utf-8")):
            assert one["language"] == "pycon" or ">>> " not in one["body"], f"{path}: {one['body']}"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
class TestIssueForm:
    """By the schema of GitHub's issue forms."""

    def read(self, path):
        return yaml.safe_load(path.read_text(encoding="utf-8"))

    def test_has_the_keys_of_a_form(self, path):
        form = self.read(path)
        assert set(form) <= {"name", "description", "title", "labels", "assignees", "body"}
        assert all(isinstance(form[key], str) and form[key] for key in ("name", "description"))
        assert any(field["type"] != "markdown" for field in form["body"])

    def test_has_valid_fields(self, path):
        for field in self.read(path)["body"]:
            assert field["type"] in ("markdown", "input", "textarea", "dropdown", "checkboxes")
            attributes = field["attributes"]
            if field["type"] == "markdown":
                assert set(field) == {"type", "attributes"}
                assert set(attributes) == {"value"}
                continue
            assert set(field) <= {"type", "id", "attributes", "validations"}
            assert re.fullmatch(r"[A-Za-z0-9_-]+", field["id"])
            assert attributes["label"]
            known = {"label", "description"}
            known |= {"options", "multiple", "default"} if field["type"] == "dropdown" else set()
            known |= {"options"} if field["type"] == "checkboxes" else set()
            known |= {"placeholder", "value"} if field["type"] in ("input", "textarea") else set()
            known |= {"render"} if field["type"] == "textarea" else set()
            assert set(attributes) <= known
            assert all(isinstance(attributes.get(key, ""), str) for key in ("placeholder", "description"))
            assert field.get("validations", {}).keys() <= {"required"}

    def test_names_each_field_and_option_once(self, path):
        fields = [field for field in self.read(path)["body"] if field["type"] != "markdown"]
        for names in (
            [field["id"] for field in fields],
            [field["attributes"]["label"] for field in fields],
            *(field["attributes"]["options"] for field in fields if field["type"] == "dropdown"),
        ):
            assert all(isinstance(name, str) and name.lower() != "none" for name in names)
            assert len(set(names)) == len(names)

    def test_names_datasets_protocols_and_metrics_that_exist(self, path):
        form = self.read(path)
        text = path.read_text(encoding="utf-8")
        datasets = "|".join(map(re.escape, dataset_names()))
        for name in re.findall(rf"\b(?:{datasets})/[\w-]+", text):
            assert name in PROTOCOLS
        metrics = {metric.key for protocol in PROTOCOLS.values() for metric in protocol.metrics}
        for key in re.findall(r"\b(?:nme|mae|auc\d+|fr\d+)/[\w-]+", text):
            assert key in metrics
        titles = {get_dataset(name).manifest.title for name in dataset_names()}
        for field in form["body"]:
            if field.get("id") == "dataset":
                assert {*field["attributes"]["options"]} - {"another"} <= titles


def test_the_form_of_a_claim_asks_for_what_makes_it_checkable():
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "reported-claim.yml").read_text("utf-8"))
    needed = {field["id"] for field in form["body"] if field.get("validations", {}).get("required")}
    asked = "method year paper where values dataset labels faces rule mean training-data box uncertain"
    assert needed == set(asked.split())


def test_the_form_of_a_fault_offers_every_dataset():
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "dataset-fault.yml").read_text("utf-8"))
    (field,) = (field for field in form["body"] if field.get("id") == "dataset")
    titles = {get_dataset(name).manifest.title for name in dataset_names()}
    assert {*field["attributes"]["options"]} == titles | {"another"}
