"""Where example data lie: PyBLP's names, and public data sets of other projects.

No data come with this package. ``NEVO_PRODUCTS_LOCATION`` and its siblings are paths
inside pyblp, which the extra ``examples`` installs. :func:`fetch` puts public data sets
of choices into the user's cache, :func:`load` reads them, and :func:`load_choices`
gives them an alternative a row, by names that ``blpdask data list`` lists.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import BlpdaskError
from .choice_data_sets import load_choices
from .data_fetch import fetch, load

__all__ = ["fetch", "load", "load_choices"]

_FILES = {
    "NEVO_PRODUCTS_LOCATION": "nevo_products.csv",
    "NEVO_AGENTS_LOCATION": "nevo_agents.csv",
    "BLP_PRODUCTS_LOCATION": "blp_products.csv",
    "BLP_AGENTS_LOCATION": "blp_agents.csv",
    "PETRIN_PRODUCTS_LOCATION": "petrin_products.csv",
    "PETRIN_AGENTS_LOCATION": "petrin_agents.csv",
    "PETRIN_VALUES_LOCATION": "petrin_values.csv",
    "PETRIN_COVARIANCES_LOCATION": "petrin_covariances.csv",
}


def __getattr__(name: str) -> str:
    """Find the path of a file of pyblp's by its name."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = importlib.util.find_spec("pyblp")
    if found is None or found.origin is None:
        raise BlpdaskError(
            f"found: no package pyblp, whose data {name} names\n"
            "  expected: pyblp installed\n"
            "  what to do: pip install 'blpdask[examples]'"
        )
    return str(Path(found.origin).parent / "data" / _FILES[name])


def __dir__() -> list[str]:
    """List the names of files, and what fetches others."""
    return sorted([*_FILES, *__all__])
