"""Where facebench keeps what it makes."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["data_home", "prepared_path"]


def data_home(home: str | Path | None = None) -> Path:
    """Return the data home: ``home``, else ``$FACEBENCH_HOME``, else the platform's cache folder."""
    chosen = home or os.environ.get("FACEBENCH_HOME")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("facebench", appauthor=False)


def prepared_path(dataset: str, home: str | Path | None = None) -> Path:
    """Return where the prepared file of a dataset lies in the data home."""
    return data_home(home) / "prepared" / f"{dataset}.h5"
