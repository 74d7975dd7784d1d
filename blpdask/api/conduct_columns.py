"""What a conduct test takes out, and by what it tests: cost shifters and instruments.

Cost shifters w are the columns of a formulation, or of the problem's X3; instruments
are what should not shift costs, and are used as far as w, absorbed effects and
instruments before them do not span them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..analysis.net_regression import independent_columns
from ..errors import Faults, InputError
from ..problem.absorption_options import AbsorptionControls
from ..problem.demand_problem import DemandProblem
from ..problem.fields import as_finite, build_design
from ..problem.formula_data import count_rows
from ..problem.lasso_penalty import partial_out
from ..records import Floats, Integers
from .formulation import Formulation


@dataclass(frozen=True, slots=True, eq=False)
class CostShifters:
    """Columns ``(N, Q)`` that shift costs, and absorbed effects with their controls."""

    columns: Floats
    effects: tuple[Integers, ...]
    absorption: AbsorptionControls

    def net(self, values: Floats) -> Floats:
        """Take them out of ``(N, K)`` columns."""
        return partial_out(values, self.columns, self.effects, self.absorption).values


@dataclass(frozen=True, slots=True, eq=False)
class KeptInstruments:
    """Instruments ``(N, d)`` net of cost shifters, and the names of all.

    ``names`` are those of the columns, ``dropped`` of what others span.
    """

    values: Floats
    names: tuple[str, ...]
    dropped: tuple[str, ...]


def read_shifters(
    formulation: Any, product_data: Any, demand: DemandProblem, faults: Faults
) -> CostShifters | None:
    """Read cost shifters, adding every fault.

    Parameters
    ----------
    formulation
        Of the columns; None for the problem's X3.
    product_data
        Table of its variables; None for those of the problem.
    demand
        The problem, in memory.
    faults
        What every fault is added to.
    """
    supply = demand.products.supply
    if formulation is None and supply is None:
        faults.add(
            "no cost_formulation, of a problem without a supply side",
            "what shifts costs",
            "pass cost_formulation=Formulation('1 + x'), for example",
        )
        return None
    if formulation is None:
        assert supply is not None
        endogenous = {name for c in supply.X3_columns for name in c.names}
        _check_exogenous(endogenous, faults)
        return CostShifters(supply.X3, supply.effects, supply.absorption)
    if not isinstance(formulation, Formulation):
        faults.add(
            f"a cost_formulation of type {type(formulation).__name__}",
            "a Formulation, or None",
            "wrap the formula: Formulation('1 + x')",
        )
        return None
    return _build_shifters(formulation, product_data, demand, faults)


def _build_shifters(
    formulation: Formulation, product_data: Any, demand: DemandProblem, faults: Faults
) -> CostShifters | None:
    """Evaluate the columns and code the effects of a formulation."""
    data, N = product_data, demand.n_products
    if data is None:
        products = demand.products
        data = {**products.ids, **products.variables, "shares": products.shares}
    elif count_rows(data) != N:
        faults.add(
            f"product_data of {count_rows(data)} rows",
            f"the {N} rows of the problem, in their order",
            "pass the table that the problem was made of",
        )
        return None
    parsed, before = formulation.parsed, len(faults)
    _check_exogenous(set(parsed.names), faults)
    design = build_design(data, parsed, faults)
    effects: tuple[Integers, ...] = ()
    try:
        effects = parsed.groups(data) if parsed.absorbed else ()
    except InputError as error:
        faults.extend(error)
    if design is None or len(faults) > before:
        if product_data is None:
            faults.add(
                f"cost_formulation {formulation} that cannot be built",
                "variables of the problem's formulas, or product_data with others",
                "pass product_data with those variables",
            )
        return None
    return CostShifters(design.values, effects, formulation.controls)


def _check_exogenous(names: set[str], faults: Faults) -> None:
    """Refuse cost shifters that firms choose."""
    chosen = sorted(names & {"prices", "shares"})
    if chosen:
        faults.add(
            f"{' and '.join(chosen)} among the cost shifters",
            "what firms do not choose",
            "pass a cost_formulation without them",
        )


def read_instruments(
    given: Any, demand: DemandProblem, faults: Faults
) -> tuple[tuple[str, ...], Floats] | None:
    """Read instruments with their names, adding every fault.

    Parameters
    ----------
    given
        ``(N, Q)`` array or DataFrame; None for the problem's ``supply_instruments``.
    demand
        The problem, in memory.
    faults
        What every fault is added to.
    """
    supply, N = demand.products.supply, demand.n_products
    if given is None:
        if supply is None:
            faults.add(
                "no instruments, of a problem without a supply side",
                "what moves markups and does not shift costs",
                "pass instruments, such as those of build_blp_instruments",
            )
            return None
        return supply.ZS_names, supply.ZS_absorbed
    raw = np.asarray(given)
    raw = raw[:, None] if raw.ndim == 1 else raw
    if raw.ndim != 2 or raw.shape[0] != N or raw.shape[1] == 0:
        faults.add(
            f"instruments of shape {raw.shape}",
            f"({N}, Q): a row a product",
            "pass an array or a DataFrame of that shape",
        )
        return None
    values = as_finite(raw, "instruments", faults)
    labels = getattr(given, "columns", None)
    names = [f"instrument{q}" for q in range(raw.shape[1])]
    if labels is not None:
        names = [str(label) for label in labels]
    return None if values is None else (tuple(names), values)


def net_instruments(
    names: tuple[str, ...], values: Floats, shifters: CostShifters
) -> KeptInstruments:
    """Take cost shifters out of instruments, and leave out what others span."""
    net = shifters.net(values)
    kept = independent_columns(net)
    return KeptInstruments(
        values=net[:, kept],
        names=tuple(n for n, k in zip(names, kept, strict=True) if k),
        dropped=tuple(n for n, k in zip(names, kept, strict=True) if not k),
    )
