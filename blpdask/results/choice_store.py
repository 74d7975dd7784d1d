"""Estimates of choices at rest: a directory with Zarr arrays and JSON, no pickle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..choice_records import LikelihoodEstimates, LikelihoodSearch, MixedCoefficients
from ..errors import StoreError
from .checked_arrays import create_checked, read_checked
from .sealed_directory import read_description, write_description, write_directory

SCHEMA = 1
_DESCRIPTION = "choice_estimates.json"


def save_likelihood(
    estimates: LikelihoodEstimates,
    sizes: Mapping[str, int],
    directory: str | Path,
    *,
    overwrite: bool = False,
) -> None:
    """Write estimates to a directory.

    Parameters
    ----------
    estimates
        Of mixed or conditional logit.
    sizes
        Of the data, by name.
    directory
        Where; must not exist unless ``overwrite``.
    overwrite
        Whether saved estimates there may be replaced.

    Raises
    ------
    StoreError
        Where the directory exists and may not, or does not hold estimates, or where
        coefficients are of another model.
    """
    if not isinstance(estimates.coefficients, MixedCoefficients):
        raise StoreError(
            f"found: coefficients of type {type(estimates.coefficients).__name__}\n"
            "  expected: those of conditional or mixed logit\n"
            "  what to do: save the results with to_pickle"
        )
    write = partial(_write, estimates, dict(sizes))
    write_directory(directory, _DESCRIPTION, write, overwrite=overwrite)


def read_likelihood(
    directory: str | Path,
) -> tuple[LikelihoodEstimates, dict[str, int]]:
    """Read what :func:`save_likelihood` wrote: estimates, and sizes of the data.

    Raises
    ------
    StoreError
        Where there are none, of another schema, or damaged.
    """
    source = Path(directory)
    description = read_description(source / _DESCRIPTION, SCHEMA)
    import zarr

    root = zarr.open_group(str(source / "arrays"), mode="r")
    values: dict[str, Any] = dict(description["values"])
    for name in description["arrays"]:
        values[name] = read_checked(root, name, str(source))
    given = {
        name: _as_tuples(value) for name, value in description["coefficients"].items()
    }
    values["coefficients"] = MixedCoefficients(**given)
    values["searches"] = tuple(_read_search(s) for s in description["searches"])
    return LikelihoodEstimates(**values), dict(description["sizes"])


def _write(
    estimates: LikelihoodEstimates, sizes: dict[str, int], directory: Path
) -> None:
    import zarr

    directory.mkdir(parents=True)
    root = zarr.open_group(str(directory / "arrays"), mode="w")
    arrays, values = [], {}
    for field in dataclasses.fields(estimates):
        value = getattr(estimates, field.name)
        if isinstance(value, np.ndarray):
            arrays.append(field.name)
            array = create_checked(
                root, field.name, value.shape, value.dtype, value.shape
            )
            if value.size:
                array[...] = value
        elif field.name not in ("coefficients", "searches"):
            values[field.name] = (
                value.item() if isinstance(value, np.generic) else value
            )
    described = {
        "schema": SCHEMA,
        "sizes": sizes,
        "coefficients": dataclasses.asdict(estimates.coefficients),
        "arrays": arrays,
        "values": values,
        "searches": [_plain_search(search) for search in estimates.searches],
    }
    write_description(directory / _DESCRIPTION, described)


def _plain_search(search: LikelihoodSearch) -> dict[str, Any]:
    plain = {
        field.name: getattr(search, field.name) for field in dataclasses.fields(search)
    }
    return plain | {"start": search.start.tolist(), "theta": search.theta.tolist()}


def _read_search(plain: dict[str, Any]) -> LikelihoodSearch:
    arrays = {name: np.array(plain[name], np.float64) for name in ("start", "theta")}
    return LikelihoodSearch(**(plain | arrays))


def _as_tuples(value: Any) -> Any:
    """Turn lists, of lists, into tuples, as they were before JSON."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
