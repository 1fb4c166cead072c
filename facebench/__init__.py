"""Face landmark, head-pose and visibility benchmarks whose numbers say how they were made.

>>> import facebench
>>> facebench.__version__.count(".")
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facebench.formats import (
        Face,
        Predictions,
        PreparedDataset,
        as_predictions,
        open_dataset,
        read_predictions,
        write_predictions,
    )
    from facebench.protocols import Comparison, Explanation, Result, compare, explain, score

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Explanation",
    "Face",
    "Predictions",
    "PreparedDataset",
    "Result",
    "__version__",
    "as_predictions",
    "compare",
    "explain",
    "open_dataset",
    "read_predictions",
    "score",
    "write_predictions",
]

# Resolved on first use (PEP 562), so that `import facebench` and `facebench --help` load no numpy.
_ROOMS = {
    "Comparison": "protocols",
    "Explanation": "protocols",
    "Face": "formats",
    "Predictions": "formats",
    "PreparedDataset": "formats",
    "Result": "protocols",
    "as_predictions": "formats",
    "compare": "protocols",
    "explain": "protocols",
    "open_dataset": "formats",
    "read_predictions": "formats",
    "score": "protocols",
    "write_predictions": "formats",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        msg = f"module 'facebench' has no attribute '{name}'"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(f"facebench.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
