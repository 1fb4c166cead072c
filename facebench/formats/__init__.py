"""The two files that facebench reads and writes: prepared datasets and predictions."""

from facebench.formats.atomic import atomic_path, write_text
from facebench.formats.content import AnnotationSet, Content, ImageFile
from facebench.formats.home import data_home, prepared_path
from facebench.formats.predictions import Predictions, read_predictions, write_predictions
from facebench.formats.reader import Face, FaceAnnotation, PreparedDataset, open_dataset
from facebench.formats.schema import VISIBILITY, ids_sha256, is_intact
from facebench.formats.writer import Progress, no_progress, write_dataset

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
    "atomic_path",
    "data_home",
    "ids_sha256",
    "is_intact",
    "no_progress",
    "open_dataset",
    "prepared_path",
    "read_predictions",
    "write_dataset",
    "write_predictions",
    "write_text",
]
