"""Fixed effects of results: estimated dummies, or levels of an absorbed effect.

Of demand, or of costs. The mathematics is in
:mod:`blpdask.analysis.recovered_effects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.recovered_effects import (
    EffectRows,
    RecoveredEffects,
    absorbed_levels,
    connected,
)
from ..errors import Faults
from ..moments.weighting import is_clustered
from ..problem.absorption import group_codes
from ..problem.clusters import check_one_way
from ..problem.formula_data import read_columns
from ..problem.formula_expressions import Indicator
from ..problem.products import Products
from ..records import Floats, Integers
from ..results.estimates import GmmEstimates
from ..results.parameter_places import parameter_places
from .solved_problem import problem_of
from .stored import in_memory

if TYPE_CHECKING:
    from .results import ProblemResults


def recover_effects(
    results: ProblemResults, variable: str | None, product_data: Any, side: str
) -> RecoveredEffects:
    """Give fixed effects of results, with covariances; see ``ProblemResults``."""
    problem = problem_of(results)
    products = in_memory(problem.demand, "fixed effects").products
    equation = _equation(products, side)
    formulation = problem.product_formulations[2 * equation]
    assert formulation is not None
    terms = formulation.parsed.absorbed_terms
    effects = products.effects
    if equation:
        assert products.supply is not None
        effects = products.supply.effects
    if variable is not None and all(variable != ":".join(term) for term in terms):
        return _dummies(products, results.estimates, variable, equation)
    faults = Faults("recover_effects")
    place = _which(terms, variable, effects, faults)
    if is_clustered(results.estimates.se_type):
        check_one_way(products.clusters, faults)
    faults.check()
    codes = effects[place]
    levels = _levels(products, codes, terms[place], product_data, faults)
    faults.check()
    other = effects[1 - place] if len(effects) > 1 else None
    return absorbed_levels(
        _rows(results, products, codes, other, equation),
        results.estimates.parameter_sensitivity,
        results.estimates.parameter_covariances,
        results.estimates.se_type,  # type: ignore[arg-type]
        levels,
    )


def _equation(products: Products, side: str) -> int:
    """Read which equation's effects are meant: 0 of demand, 1 of supply."""
    faults = Faults("recover_effects")
    if side not in ("demand", "supply"):
        faults.add(f"side={side!r}", "'demand' or 'supply'", "choose one")
    elif side == "supply" and products.supply is None:
        faults.add(
            "side='supply' of results without a supply side",
            "a formulation of X3",
            "formulate X3, or leave side out",
        )
    faults.check()
    return int(side == "supply")


def _which(
    terms: Sequence[tuple[str, ...]],
    variable: str | None,
    effects: Sequence[Integers],
    faults: Faults,
) -> int:
    """Choose one of the absorbed effects whose levels are determined."""
    names = [":".join(term) for term in terms]
    listed = f" ({', '.join(names)})" if names else ""
    if len(effects) not in (1, 2):
        faults.add(
            f"{len(effects)} absorbed effects{listed}",
            "one or two: levels of more are hard to tell apart",
            "absorb up to two of them and write the others as dummies, as C(quarter), "
            "or name the variable of dummies",
        )
        return 0
    if variable is None and len(effects) == 2:
        faults.add(
            f"2 absorbed effects{listed}, and none is named",
            "the name of one; the other's levels average zero over rows then",
            f"pass variable={names[0]!r}",
        )
        return 0
    if len(effects) == 2 and not connected(*effects):
        faults.add(
            f"absorbed effects{listed} whose levels fall into parts without a row in "
            "common",
            "connected levels: others are not determined up to one constant",
            "keep one part, or absorb one of the effects",
        )
    return 0 if variable is None else names.index(variable)


def _rows(
    results: ProblemResults,
    products: Products,
    codes: Integers,
    other: Integers | None,
    equation: int,
) -> EffectRows:
    """Gather what is as long as the data."""
    estimates = results.estimates
    u, Z, X = [np.asarray(estimates.xi)], [products.ZD], [products.X1]
    if products.supply is not None:
        u.append(np.asarray(estimates.omega))
        Z.append(products.supply.ZS)
        X.append(products.supply.X3)
        if products.supply.ZC is not None:
            u.append(u[0] * u[1] - estimates.covariance_moments_mean)
            Z.append(products.supply.ZC)
    K1 = len(estimates.beta_labels)
    out = [estimates.concentrated[:K1], estimates.concentrated[K1:]]
    # Of the equation itself; the other's linear parameters do not enter it.
    linear = [
        -x[:, chosen] if e == equation else np.zeros((x.shape[0], int(chosen.sum())))
        for e, (x, chosen) in enumerate(zip(X, out, strict=False))
    ]
    names = [("xi_fe", "xi_by_theta_jacobian"), ("omega_fe", "omega_by_theta_jacobian")]
    effects, by_theta = (
        np.asarray(getattr(estimates, name)) for name in names[equation]
    )
    return EffectRows(
        codes=codes,
        effects=effects[:, 0],
        u=np.hstack(u),
        Z=tuple(Z),
        by_psi=np.hstack([by_theta, *linear]),
        clusters=products.clusters,
        other=other,
        equation=equation,
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
    products: Products, estimates: GmmEstimates, variable: str, equation: int
) -> RecoveredEffects:
    """Give coefficients on the dummies of a variable."""
    places = parameter_places(estimates)
    matrix, X, columns = "beta", products.X1, products.X1_columns
    if equation:
        assert products.supply is not None
        matrix, X, columns = "gamma", products.supply.X3, products.supply.X3_columns
    position = {p.row: k for k, p in enumerate(places) if p.matrix == matrix}
    found = [
        (k, column.expression.level)
        for k, column in enumerate(columns)
        if isinstance(column.expression, Indicator)
        and column.expression.name == variable
    ]
    faults = Faults("recover_effects")
    if not found:
        faults.add(
            f"no dummies of {variable!r} in X{3 if equation else 1}",
            "columns such as those of C(product_ids)",
            "formulate them, or name an absorbed effect",
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
        values=getattr(estimates, matrix)[rows, 0],
        covariances=V / estimates.n_products,
        counts=np.asarray(X[:, rows].sum(axis=0), dtype=np.int64),
    )
