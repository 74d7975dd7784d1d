"""Choose among many instruments by LASSO.

The first stage, its penalty and their sources are in
:mod:`blpdask.problem.lasso_penalty`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Faults
from ..problem.fields import check_table
from ..problem.lasso_penalty import (
    FirstStage,
    Flags,
    PartialledOut,
    PenaltyRule,
    find_twins,
    first_stage_F,
    partial_out,
    select,
)
from ..records import Floats, Integers
from .formulation import Formulation
from .selection_data import SelectionData, check_rule, read_selection_data

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["InstrumentSelection", "select_instruments"]


@dataclass(frozen=True, slots=True, eq=False)
class InstrumentSelection:
    """Which of P candidates LASSO selected, and how strong they are.

    Attributes
    ----------
    names
        Names of the candidates.
    selected
        ``(S,)`` places of those selected.
    columns
        ``(N, S)`` their values, nothing taken out: instruments for a problem.
    coefficients
        ``(P,)`` LASSO's, zero where not selected.
    post_coefficients
        ``(P,)`` of least squares on those selected, zero elsewhere.
    loadings
        ``(P,)`` ψ, by which the penalty of each coefficient is scaled; zero for those
        that are collinear.
    collinear
        ``(P,)`` which candidates were left out because controls span them or, net of
        controls, they are multiples of earlier ones.
    penalty
        λ.
    first_stage_F
        F statistic of the selected instruments in post-LASSO, robust as the loadings
        are. It takes no account of the selection.
    iterations
        Iterations of loadings.
    converged
        Whether the selection stood in the last of them.
    """

    names: tuple[str, ...]
    selected: Integers
    columns: Floats
    coefficients: Floats
    post_coefficients: Floats
    loadings: Floats
    collinear: Flags
    penalty: float
    first_stage_F: float
    iterations: int
    converged: bool

    @property
    def selected_names(self) -> tuple[str, ...]:
        """Names of those selected."""
        return tuple(self.names[place] for place in self.selected)

    def to_frame(self) -> pd.DataFrame:
        """Make a table with a row a candidate."""
        import pandas as pd

        return pd.DataFrame(
            {
                "selected": self.coefficients != 0,
                "coefficient": self.coefficients,
                "post_coefficient": self.post_coefficients,
                "loading": self.loadings,
                "collinear": self.collinear,
            },
            index=pd.Index(self.names, name="instrument"),
        )

    def __str__(self) -> str:
        """Say what was selected in a sentence."""
        chosen = ", ".join(self.selected_names) or "none"
        return (
            f"{self.selected.size} of {len(self.names)} instruments selected "
            f"({chosen}), first-stage F {self.first_stage_F:.4g}."
        )

    __repr__ = __str__


def select_instruments(
    candidates: Any,
    product_data: Any,
    *,
    endogenous: str = "prices",
    controls: Formulation | None = None,
    clusters: str | None = None,
    c: float = 1.1,
    gamma: float | None = None,
    n_endogenous: int = 1,
    penalty: float | None = None,
    max_iterations: int = 15,
) -> InstrumentSelection:
    """Select the instruments of a first stage by LASSO.

    The penalty is that of Belloni, Chen, Chernozhukov and Hansen (2012),
    λ = 2 c √N Φ⁻¹(1 - γ/(2 k p)), with loadings that allow for heteroskedasticity, or
    for dependence within clusters (Belloni, Chernozhukov, Hansen and Kozbur 2016).

    Parameters
    ----------
    candidates
        Formulation of the candidates, their ``(N, P)`` array, such as one that
        ``build_differentiation_instruments`` gives, a DataFrame of them, or None for
        ``demand_instruments0``, ``demand_instruments1``, … of the products.
    product_data
        A row a product, with the columns that are named.
    endogenous
        Column, or formula of one, that is to be instrumented.
    controls
        Formulation of what is taken out of both sides and not penalised: X1 without
        prices, with its absorbed effects; a constant by default.
    clusters
        Column of clusters, such as ``"clustering_ids"``; None if rows are independent.
    c
        Slack of the penalty, above one.
    gamma
        Probability of selecting an instrument of no use; by default 0.1 / log max(p, N)
        with p candidates that are not collinear.
    n_endogenous
        k, the number of endogenous variables for which instruments are selected, one
        call for each.
    penalty
        λ itself, in place of the rule.
    max_iterations
        Iterations of loadings allowed.

    Returns
    -------
    InstrumentSelection
        What was selected.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Warns
    -----
    NumericalWarning
        If the selection still changed in the last iteration of loadings.

    References
    ----------
    Belloni, Chen, Chernozhukov and Hansen (2012), "Sparse Models and Methods for
    Optimal Instruments with an Application to Eminent Domain".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.normal(size=(500, 20))
    >>> products = {"prices": 1 + z[:, 3] - z[:, 7] + rng.normal(size=500)}
    >>> select_instruments(z, products).selected.tolist()
    [3, 7]
    """
    faults = Faults("select_instruments")
    check_rule(c, gamma, n_endogenous, penalty, max_iterations, faults)
    data = None
    if check_table(product_data, faults):
        data = read_selection_data(
            candidates, product_data, endogenous, controls, clusters, faults
        )
    faults.check()
    assert data is not None
    net = _partial_out(data, product_data, controls)
    if net.collinear[0]:
        faults.add(
            f"'{endogenous}' that the controls span",
            "variation that the controls leave",
            "take it out of the controls, or drop controls",
        )
    faults.check()
    rule = PenaltyRule(c, gamma, n_endogenous, penalty, max_iterations)
    y, f = net.values[:, 0], net.values[:, 1:]
    twins = find_twins(f)
    f = np.where(twins, 0.0, f)
    stage = select(y, f, data.clusters, rule)
    F = first_stage_F(y, f[:, stage.selected], data.clusters, net.n_controls)
    return _record(data, stage, net.collinear[1:] | twins, F)


def _record(
    data: SelectionData, stage: FirstStage, collinear: Flags, F: float
) -> InstrumentSelection:
    """Join the first stage with the candidates' names and values."""
    return InstrumentSelection(
        names=data.names,
        selected=stage.selected,
        columns=data.candidates[:, stage.selected],
        coefficients=stage.coefficients,
        post_coefficients=stage.post_coefficients,
        loadings=stage.loadings,
        collinear=collinear,
        penalty=stage.penalty,
        first_stage_F=F,
        iterations=stage.iterations,
        converged=stage.converged,
    )


def _partial_out(
    data: SelectionData, product_data: Any, controls: Formulation | None
) -> PartialledOut:
    """Take the controls out of the endogenous variable and the candidates."""
    both = np.column_stack([data.endogenous, data.candidates])
    if controls is None:
        return partial_out(both, data.controls)
    effects = controls.parsed.groups(product_data)
    return partial_out(both, data.controls, effects, controls.controls)
