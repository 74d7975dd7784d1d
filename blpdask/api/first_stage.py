"""First stages of a problem: :mod:`blpdask.analysis.first_stage` on its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..analysis.first_stage import FirstStages, first_stages
from ..errors import Faults
from ..records import Floats
from .problem_columns import problem_columns

if TYPE_CHECKING:
    from .dimensions import Dimensions


def compute_first_stage(problem: Dimensions) -> FirstStages:
    """Compute how strong the instruments of a problem's endogenous columns are.

    Raises
    ------
    BlpdaskError
        Where the rows are in a store.
    InputError
        Where there is no endogenous column, or fewer instruments than endogenous
        columns, or no rows left.
    """
    columns = problem_columns(problem, "first stages")
    X, n_controls = columns.net(columns.endogenous)
    Z, kept = columns.net_instruments()
    names = columns.endogenous_names
    _check(X, Z, names, n_controls)
    found, least = first_stages(X, Z, names, n_controls, columns.products.clusters)
    controls = {c.name for c in columns.products.X1_columns}
    every = columns.instrument_names
    left_out = [every[k] for k in range(len(every)) if k not in kept]
    return FirstStages(
        columns=found,
        instruments=tuple(every[k] for k in kept),
        dropped=tuple(name for name in left_out if name not in controls),
        n_controls=n_controls,
        cragg_donald=least,
    )


def _check(X: Floats, Z: Floats, names: tuple[str, ...], n_controls: int) -> None:
    """Check that there is something to instrument, and enough to do so."""
    faults = Faults("first stage")
    if not names:
        faults.add(
            "no column of X1 that depends on prices",
            "at least one, to be instrumented",
            "see compute_identification of results for the other parameters",
        )
    elif Z.shape[1] < len(names):
        faults.add(
            f"{Z.shape[1]} instruments, net of exogenous columns and effects, for "
            f"{len(names)} endogenous columns ({', '.join(names)})",
            "at least as many",
            "add columns demand_instruments0, …",
        )
    if X.shape[0] <= Z.shape[1] + n_controls:
        faults.add(
            f"{X.shape[0]} rows for {Z.shape[1]} instruments and {n_controls} controls",
            "more rows than those",
            "drop instruments or effects",
        )
    spanned = [n for n, x in zip(names, X.T, strict=True) if not x.any()]
    if spanned:
        faults.add(
            f"{', '.join(spanned)} that exogenous columns and effects span",
            "variation that they leave",
            "drop columns or effects",
        )
    faults.check()
