"""Demographics by a formula, some of which may differ over products.

A variable of the formula that is no column of agents, where ``name0``, ``name1``, …
are, is one number a product: ``name`` followed by j belongs to the j-th product of the
agent's market. The formula is evaluated once a product then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .fields import build_design, field_names, matrix_columns, read_field, read_vector
from .formulas import Column, DesignMatrix, ParsedFormula


@dataclass(frozen=True, slots=True, eq=False)
class Demographics:
    """Demographics of agents, rows as in the data.

    Attributes
    ----------
    values
        ``(A, D)``, zero in columns that differ over products.
    columns
        The columns.
    by_product
        ``(S, A, max J)`` those that do, zero beyond a market's products; or None.
    product_columns
        ``(S,)`` which columns those are.
    """

    values: Floats
    columns: tuple[Column, ...]
    by_product: Floats | None = None
    product_columns: tuple[int, ...] = ()

    def take(self, rows: Integers) -> Demographics:
        """Keep some rows."""
        by_product = self.by_product
        if by_product is not None:
            by_product = by_product[:, rows]
        return replace(self, values=self.values[rows], by_product=by_product)


def read_demographics(
    data: Any,
    formula: ParsedFormula | None,
    codes: Integers,
    product_counts: Integers,
    faults: Faults,
) -> Demographics:
    """Evaluate the formula, adding every fault.

    Parameters
    ----------
    data
        Table of agents.
    formula
        Of the demographics, or None.
    codes
        ``(A,)`` markets of the agents, where those could be read.
    product_counts
        ``(T,)`` J_t.
    faults
        What every fault is added to.
    """
    if formula is None:
        ids = read_vector(data, "market_ids", Faults("agent_data"))
        return Demographics(np.empty((0 if ids is None else len(ids), 0)), ())
    numbered = numbered_columns(field_names(data), formula)
    if not numbered:
        design = build_design(data, formula, faults)
        if design is None:
            return Demographics(np.empty((0, 0)), ())
        return Demographics(design.values, tuple(design.columns))
    most = int(product_counts.max(initial=0))
    check_demographics_width(numbered, most, faults)
    if len(faults) or (codes < 0).any():
        return Demographics(np.empty((0, 0)), ())
    plain = {name: read_field(data, name) for name in formula.names - set(numbered)}
    return evaluate_by_product(
        {n: v for n, v in plain.items() if v is not None},
        data,
        numbered,
        product_counts[codes],
        lambda table: build_design(table, formula, faults),
    )


def numbered_columns(
    names: Collection[str], formula: ParsedFormula
) -> dict[str, tuple[str, ...]]:
    """Find the variables that are one number a product, with their columns."""
    return {
        name: matrix_columns(names, name)
        for name in sorted(formula.names)
        if name not in names and f"{name}0" in names
    }


def check_demographics_width(
    numbered: Mapping[str, tuple[str, ...]], most: int, faults: Faults
) -> None:
    """Check that there is a column for each product of the largest market."""
    for name, found in numbered.items():
        if len(found) < most:
            faults.add(
                f"{len(found)} columns {found[0]}, …",
                f"{most}, as many as the largest market has products",
                f"add {name}{len(found)} to {name}{most - 1}, or a column {name}",
            )


def evaluate_by_product(
    plain: Mapping[str, Any],
    data: Any,
    numbered: Mapping[str, tuple[str, ...]],
    sizes: Integers,
    build: Callable[[dict[str, Any]], DesignMatrix | None],
) -> Demographics:
    """Evaluate a formula once a product and stack what differs.

    Parameters
    ----------
    plain
        Columns that are the same for all products.
    data
        Table with the other columns.
    numbered
        Names of those of each variable.
    sizes
        ``(A,)`` J_t of each agent's market.
    build
        Evaluates the formula, or gives None where it found faults.
    """
    table = dict(plain)
    stacked = []
    for j in range(int(sizes.max(initial=1))):
        for name, found in numbered.items():
            first, own = read_field(data, found[0]), read_field(data, found[j])
            assert first is not None and own is not None
            table[name] = np.where(j < sizes, own, first)
        design = build(table)
        if design is None:
            return Demographics(np.empty((0, 0)), ())
        stacked.append((design, j < sizes))
    columns = tuple(stacked[0][0].columns)
    differ = tuple(
        d for d, column in enumerate(columns) if set(column.names) & set(numbered)
    )
    values = stacked[0][0].values.copy()
    values[:, list(differ)] = 0.0
    parts = [
        np.where(inside[:, None], design.values[:, list(differ)], 0.0)
        for design, inside in stacked
    ]
    by_product = np.ascontiguousarray(np.stack(parts, axis=2).transpose(1, 0, 2))
    return Demographics(values, columns, by_product, differ)
