"""Pickles, for PyBLP scripts; nothing else in the package needs them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any


def save_pickle(x: Any, path: str | Path) -> None:
    """Pickle an object, for PyBLP scripts."""
    with Path(path).open("wb") as handle:
        pickle.dump(x, handle)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle that you wrote yourself; never read one from others.

    Unpickling runs code of the file. :func:`read_results` does not.
    """
    with Path(path).open("rb") as handle:
        return pickle.load(handle)
