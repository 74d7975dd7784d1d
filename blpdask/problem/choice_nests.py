"""Nests of alternatives in a table of choices, and blocks in which they stand together.

A nest's ρ is told by situations in which it has two alternatives, where some situation
has alternatives of two nests; of nests that never have two it is no parameter.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..errors import Faults
from ..model.nested_choices import NestedBlock, NestedCoefficients
from ..partitions.source import HeldBlocks
from ..records import Integers
from .choice_blocks import cut_people
from .choice_table import ChoiceTable
from .fields import factorize, read_vector

#: Whether all nests have one ρ, or each its own.
RHO = ("one", "each")


@dataclass(frozen=True, slots=True, eq=False)
class NestedTable:
    """A table of choices, nests side by side in each situation.

    Attributes
    ----------
    table
        The choices.
    nests
        ``(N,)`` codes of rows' nests.
    ids
        ``(H,)`` what nests are called.
    """

    table: ChoiceTable
    nests: Integers
    ids: np.ndarray[Any, Any]


def read_nests(data: Any, table: ChoiceTable, faults: Faults) -> NestedTable | None:
    """Read ``nesting_ids`` and sort rows by them; None where there are faults."""
    before = len(faults)
    given = read_vector(data, "nesting_ids", faults, required=True)
    if given is None:
        return None
    if len(given) != table.n_given:
        faults.add(
            f"'nesting_ids' of {len(given)} rows in a table of {table.n_given}",
            "columns of one length",
            "give 'nesting_ids' a value a row",
        )
        return None
    codes, ids = factorize(given[table.rows])
    if missing := int((codes < 0).sum()):
        faults.add(
            f"{missing} missing values of 'nesting_ids'",
            "a nest of every alternative",
            "fill them in; an alternative like no other has a nest of its own",
        )
        return None
    sizes = table.choice_sizes
    situations = np.repeat(np.arange(sizes.size), sizes)
    order = np.lexsort((codes, situations))
    places = np.empty_like(order)
    places[order] = np.arange(order.size)
    nested = NestedTable(
        table=replace(
            table,
            X=np.ascontiguousarray(table.X[order]),
            rows=table.rows[order],
            chosen=places[table.chosen].astype(np.int64),
        ),
        nests=codes[order],
        ids=ids,
    )
    _check_cells(nested, faults)
    return nested if len(faults) == before else None


def nested_coefficients(nested: NestedTable, rho: str) -> NestedCoefficients:
    """Say which parameters there are, with one ρ for all nests or one for each."""
    pairs = np.unique(nested.nests[_alike(nested)])
    names = tuple(str(name) for name in nested.ids)
    places = np.full(len(names), -1)
    places[pairs] = 0 if rho == "one" else np.arange(pairs.size)
    labels = tuple(f"rho.{names[h]}" for h in pairs) if rho == "each" else ("rho",)
    return NestedCoefficients(
        labels=nested.table.labels,
        nests=names,
        rho_labels=labels,
        rho_places=tuple(places.tolist()),
    )


def cut_nested(nested: NestedTable) -> HeldBlocks:
    """Cut a table into blocks of whole people."""
    table = nested.table
    held = cut_people(table, np.empty((table.person_ids.size, 1, 0)))
    blocks = [held.load(index) for index in range(len(held))]
    stops = np.cumsum([0, *(len(block.X) for block in blocks)]).tolist()
    found = []
    for block, (first, stop) in zip(blocks, itertools.pairwise(stops), strict=True):
        parts = {item.name: getattr(block, item.name) for item in fields(block)}
        cells = find_cells(block.situation_offsets, nested.nests[first:stop])
        found.append(NestedBlock(**parts, **cells))
    labels = [held.describe(index) for index in range(len(held))]
    return HeldBlocks(found, labels=labels)


def find_cells(situation_offsets: Integers, nests: Integers) -> dict[str, Any]:
    """Find cells of rows whose nests ``(N,)`` stand together in each situation.

    Examples
    --------
    >>> cells = find_cells(np.array([0, 3, 5]), np.array([0, 0, 2, 1, 2]))
    >>> [values.tolist() for values in cells.values()]
    [[0, 2, 3, 4, 5], [0, 2, 1, 2], [0, 2, 4]]
    """
    starts = np.zeros(nests.size, np.bool_)
    starts[situation_offsets[:-1]] = True
    starts[1:] |= nests[1:] != nests[:-1]
    firsts = np.flatnonzero(starts)
    cell_offsets = np.append(firsts, nests.size)
    return {
        "cell_offsets": cell_offsets,
        "cell_nests": nests[firsts],
        "situation_cells": np.searchsorted(cell_offsets, situation_offsets),
    }


def _alike(nested: NestedTable) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Flag rows of which the one before is of the same nest and situation."""
    alike = np.zeros(nested.nests.size, np.bool_)
    alike[1:] = nested.nests[1:] == nested.nests[:-1]
    alike[nested.table.situation_offsets[:-1]] = False
    return alike


def _check_cells(nested: NestedTable, faults: Faults) -> None:
    """Check that some situation has two nests, and some nest two alternatives."""
    alike = _alike(nested)
    if not alike.any():
        faults.add(
            "no situation with two alternatives of one nest",
            "nests of alternatives that are alike",
            "look at nesting_ids; without nests there is ChoiceProblem",
        )
    inside = alike.copy()
    inside[nested.table.situation_offsets[:-1]] = True
    if inside.all():
        faults.add(
            "no situation with alternatives of two nests",
            "choices between nests, without which rho cannot be told from the scale "
            "of coefficients",
            "look at nesting_ids; what is not bought has a nest of its own",
        )
