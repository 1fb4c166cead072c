"""The two files that facebench reads and writes: prepared datasets and predictions."""

from facebench.formats.atomic import atomic_path, write_text
from facebench.formats.content import AnnotationSet, Content, ImageFile
from facebench.formats.home import data_home, prepared_path
from facebench.formats.numpy_file import read_npy
from facebench.formats.predictions import Predictions, as_predictions, read_predictions, write_predictions
from facebench.formats.progress import Progress, no_progress
from facebench.formats.reader import Face, FaceAnnotation, PreparedDataset, is_intact, open_dataset
from facebench.formats.schema import VISIBILITY, ids_sha256
from facebench.formats.writer import write_dataset

__all__ = [
    "VISIBILITY",
    "AnnotationSet",
    "Content",
    "Face",
    "FaceAnnotation",
    "ImageFile",
    "Predictions",
    "PreparedDataset",
    "Progress",
    "as_predictions",
    "atomic_path",
    "data_home",
    "ids_sha256",
    "is_intact",
    "no_progress",
    "open_dataset",
    "prepared_path",
    "read_npy",
    "read_predictions",
    "write_dataset",
    "write_predictions",
    "write_text",
]
