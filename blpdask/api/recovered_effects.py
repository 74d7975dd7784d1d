"""Fixed effects of results: estimated dummies, or levels of an absorbed effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.recovered_effects import (
    EffectRows,
    RecoveredEffects,
    absorbed_levels,
)
from ..errors import BlpdaskError, Faults
from ..moments.weighting import is_clustered
from ..problem.absorption import group_codes
from ..problem.clusters import check_one_way
from ..problem.formula_data import read_columns
from ..problem.formula_expressions import Indicator
from ..problem.products import Products
from ..records import Floats, Integers
from ..results.estimates import GmmEstimates
from ..results.parameter_places import parameter_places
from .stored import in_memory

if TYPE_CHECKING:
    from .results import ProblemResults


def recover_effects(
    results: ProblemResults, variable: str | None, product_data: Any
) -> RecoveredEffects:
    """Give fixed effects of results, with covariances; see ``ProblemResults``."""
    if results.problem is None:
        raise BlpdaskError(
            "found: results without their problem\n  expected: results of "
            "Problem.solve, not read from disk\n  what to do: solve again, starting "
            "from the saved estimates with Optimization('return')"
        )
    products = in_memory(results.problem.demand, "fixed effects").products
    estimates = results.estimates
    if variable is not None:
        return _dummies(products, estimates, variable)
    formula = results.problem.product_formulations[0].parsed
    terms = formula.absorbed_terms
    faults = Faults("recover_effects")
    if len(products.effects) != 1:
        faults.add(
            f"{len(products.effects)} absorbed effects",
            "one: levels of several are determined only up to constants",
            "absorb one of them and write the others as dummies, as C(quarter), or "
            "name the variable of dummies",
        )
    if is_clustered(estimates.se_type):
        check_one_way(products.clusters, faults)
    faults.check()
    codes = products.effects[0]
    levels = _levels(products, codes, terms[0], product_data, faults)
    faults.check()
    return absorbed_levels(
        _rows(results, products),
        estimates.parameter_sensitivity,
        estimates.parameter_covariances,
        estimates.se_type,  # type: ignore[arg-type]
        levels,
    )


def _rows(results: ProblemResults, products: Products) -> EffectRows:
    """Gather what is as long as the data."""
    estimates = results.estimates
    u, Z = [np.asarray(estimates.xi)], [products.ZD]
    if products.supply is not None:
        u.append(np.asarray(estimates.omega))
        Z.append(products.supply.ZS)
    K1 = len(estimates.beta_labels)
    out = estimates.concentrated[:K1]
    n_costs = int(estimates.concentrated[K1:].sum())
    by_psi = [
        np.asarray(estimates.xi_by_theta_jacobian),
        -products.X1[:, out],
        np.zeros((products.n_products, n_costs)),
    ]
    return EffectRows(
        codes=products.effects[0],
        effects=np.asarray(estimates.xi_fe)[:, 0],
        u=np.hstack(u),
        Z=tuple(Z),
        by_psi=np.hstack(by_psi),
        clusters=products.clusters,
    )


def _levels(
    products: Products,
    codes: Integers,
    term: tuple[str, ...],
    product_data: Any,
    faults: Faults,
) -> list[Any]:
    """Name the groups by the values of their variables, codes where those are lost."""
    first = np.unique(codes, return_index=True)[1]
    if product_data is not None:
        given = group_codes(product_data, term)
        if not np.array_equal(given, codes):
            faults.add(
                f"product_data whose {', '.join(term)} group rows otherwise",
                "the rows that the problem was made of, in their order",
                "pass that table",
            )
            return []
        values = list(read_columns(product_data, term).values())
    else:
        values = [np.asarray(products.ids[n]) for n in term if n in products.ids]
        values = [v[:, 0] if v.ndim > 1 else v for v in values]
        if len(values) < len(term):
            return list(range(first.size))
    chosen = [np.asarray(v)[first].tolist() for v in values]
    return chosen[0] if len(chosen) == 1 else list(zip(*chosen, strict=True))


def _dummies(
    products: Products, estimates: GmmEstimates, variable: str
) -> RecoveredEffects:
    """Give coefficients on the dummies of a variable."""
    places = parameter_places(estimates)
    position = {p.row: k for k, p in enumerate(places) if p.matrix == "beta"}
    found = [
        (k, column.expression.level)
        for k, column in enumerate(products.X1_columns)
        if isinstance(column.expression, Indicator)
        and column.expression.name == variable
    ]
    faults = Faults("recover_effects")
    if not found:
        faults.add(
            f"no dummies of {variable!r} in X1",
            "columns such as those of C(product_ids)",
            "formulate them, or pass no variable where the effect is absorbed",
        )
    elif fixed := [level for k, level in found if k not in position]:
        faults.add(
            f"fixed coefficients on dummies of {', '.join(map(str, fixed))}",
            "estimated ones",
            "leave their bounds out",
        )
    faults.check()
    rows = [k for k, _ in found]
    chosen = [position[k] for k in rows]
    V: Floats = estimates.parameter_covariances[np.ix_(chosen, chosen)]
    return RecoveredEffects(
        levels=tuple(level for _, level in found),
        values=estimates.beta[rows, 0],
        covariances=V / estimates.n_products,
        counts=np.asarray(products.X1[:, rows].sum(axis=0), dtype=np.int64),
    )
