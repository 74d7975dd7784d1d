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
from ..model.latent_classes import LatentClasses
from ..model.nested_choices import NestedCoefficients
from ..records import Floats
from .checked_arrays import create_checked, read_checked
from .sealed_directory import read_description, write_description, write_directory

SCHEMA = 2
DESCRIPTION = "choice_estimates.json"
_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (MixedCoefficients, LatentClasses, NestedCoefficients)
}


def save_likelihood(
    estimates: LikelihoodEstimates,
    sizes: Mapping[str, int],
    directory: str | Path,
    *,
    more: Mapping[str, Floats] | None = None,
    overwrite: bool = False,
) -> None:
    """Write estimates to a directory.

    Parameters
    ----------
    estimates
        Of mixed logit, latent classes or nests.
    sizes
        Of the data, by name.
    directory
        Where; must not exist unless ``overwrite``.
    more
        Other arrays that results are made of, by name.
    overwrite
        Whether saved estimates there may be replaced.

    Raises
    ------
    StoreError
        Where the directory exists and may not, or does not hold estimates.
    """
    if type(estimates.coefficients).__name__ not in _KINDS:
        raise StoreError(
            f"found: coefficients of type {type(estimates.coefficients).__name__}\n"
            f"  expected: one of {', '.join(_KINDS)}\n"
            "  what to do: save the results with to_pickle"
        )
    write = partial(_write, estimates, dict(sizes), dict(more or {}))
    write_directory(directory, DESCRIPTION, write, overwrite=overwrite)


def read_likelihood(
    directory: str | Path,
) -> tuple[LikelihoodEstimates, dict[str, int], dict[str, Floats]]:
    """Read what :func:`save_likelihood` wrote: estimates, sizes, and other arrays.

    Raises
    ------
    StoreError
        Where there are none, of another schema, or damaged.
    """
    source = Path(directory)
    description = read_description(source / DESCRIPTION, SCHEMA)
    import zarr

    root = zarr.open_group(str(source / "arrays"), mode="r")
    values: dict[str, Any] = dict(description["values"])
    for name in description["arrays"]:
        values[name] = read_checked(root, name, str(source))
    values["coefficients"] = _read_coefficients(description["coefficients"])
    values["searches"] = tuple(_read_search(s) for s in description["searches"])
    more = {name: read_checked(root, name, str(source)) for name in description["more"]}
    return LikelihoodEstimates(**values), dict(description["sizes"]), more


def _write(
    estimates: LikelihoodEstimates,
    sizes: dict[str, int],
    more: dict[str, Floats],
    directory: Path,
) -> None:
    import zarr

    def put(name: str, value: Floats) -> None:
        array = create_checked(root, name, value.shape, value.dtype, value.shape)
        if value.size:
            array[...] = value

    directory.mkdir(parents=True)
    root = zarr.open_group(str(directory / "arrays"), mode="w")
    arrays, values = [], {}
    for field in dataclasses.fields(estimates):
        value = getattr(estimates, field.name)
        if isinstance(value, np.ndarray):
            arrays.append(field.name)
            put(field.name, value)
        elif field.name not in ("coefficients", "searches"):
            values[field.name] = (
                value.item() if isinstance(value, np.generic) else value
            )
    for name, value in more.items():
        put(name, value)
    described = {
        "schema": SCHEMA,
        "more": list(more),
        "sizes": sizes,
        "coefficients": _plain_coefficients(estimates.coefficients),
        "arrays": arrays,
        "values": values,
        "searches": [_plain_search(search) for search in estimates.searches],
    }
    write_description(directory / DESCRIPTION, described)


def _plain_coefficients(coefficients: Any) -> dict[str, Any]:
    """Describe what varies and how by the name of its class and its fields."""
    fields = {
        field.name: getattr(coefficients, field.name)
        for field in dataclasses.fields(coefficients)
    }
    plain = {
        name: _plain_coefficients(value) if dataclasses.is_dataclass(value) else value
        for name, value in fields.items()
    }
    return {"class": type(coefficients).__name__, **plain}


def _read_coefficients(plain: dict[str, Any]) -> Any:
    """Make what :func:`_plain_coefficients` described."""
    fields = {
        name: _read_coefficients(value)
        if isinstance(value, dict)
        else _as_tuples(value)
        for name, value in plain.items()
        if name != "class"
    }
    return _KINDS[plain["class"]](**fields)


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
