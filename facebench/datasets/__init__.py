"""One module per benchmark: from its release on disk to faces.  Nothing here knows a metric."""

from facebench.datasets.manifest import Manifest, load_manifest, manifest_folder
from facebench.datasets.preparation import Prepared, prepare
from facebench.datasets.registry import Dataset, Release, dataset_names, get_dataset
from facebench.datasets.sources import Source, open_source
from facebench.datasets.splits import split_rows
from facebench.datasets.verification import Check, verify_prepared, verify_release

__all__ = [
    "Check",
    "Dataset",
    "Manifest",
    "Prepared",
    "Release",
    "Source",
    "dataset_names",
    "get_dataset",
    "load_manifest",
    "manifest_folder",
    "open_source",
    "prepare",
    "split_rows",
    "verify_prepared",
    "verify_release",
]
