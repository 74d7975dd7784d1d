"""Build columns that means of tastes may move with where first states depend on them.

The mathematics is in :mod:`blpdask.problem.initial_conditions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import Faults
from ..problem.choice_rows import check_length
from ..problem.fields import read_numbers
from ..problem.initial_conditions import find_initial_groups, initial_columns
from ..problem.panel_rows import read_panel
from ..records import Floats

__all__ = ["build_initial_conditions"]


def build_initial_conditions(
    choice_data: Any,
    *,
    averages: Sequence[str] = (),
    lag: str = "lag",
    periods: str = "period_ids",
    same: str = "alternative_ids",
) -> dict[str, Floats]:
    """Build what tastes are shifted by where first states depend on tastes.

    Who is seen to choose an alternative before the first situation likes it more than
    others do, so that a random coefficient is not independent of the first lag.
    Wooldridge's (2005) answer is to let means of random coefficients depend on the
    first state and on averages of characteristics over time. The columns that come back
    are the same in all rows of a person: demographics for means of coefficients, or
    factors of interactions in the formula.

    Parameters
    ----------
    choice_data
        Table of the situations in the likelihood, those of a burn-in left out, with
        ``person_ids`` and the columns named below.
    averages
        Columns to average over all rows of a person.
    lag
        Column that is one where the choice before was of the row's group, else zero.
        What it says in a person's first situation is the first state.
    periods, same
        As in :func:`blpdask.build_lagged_choices`.

    Returns
    -------
    dict
        ``(N,)`` columns ``initial_g``, one where the first state is group g, of all
        groups that are some person's, but the first where nobody is without a state;
        and ``average_x``, for each x of ``averages``, less its mean over people.

    Raises
    ------
    InputError
        With every fault of the table and the arguments.

    References
    ----------
    Wooldridge (2005), "Simple Solutions to the Initial Conditions Problem in Dynamic,
    Nonlinear Panel Data Models with Unobserved Heterogeneity".

    Examples
    --------
    >>> data = {
    ...     "person_ids": [1, 1, 2, 2],
    ...     "period_ids": [5, 5, 5, 5],
    ...     "alternative_ids": ["a", "b", "a", "b"],
    ...     "prices": [1.0, 2.0, 3.0, 6.0],
    ...     "lag": [1, 0, 0, 0],
    ... }
    >>> found = build_initial_conditions(data, averages=["prices"])
    >>> found["initial_a"], found["average_prices"]
    (array([1., 1., 0., 0.]), array([-1.5, -1.5,  1.5,  1.5]))
    """
    faults = Faults("build_initial_conditions")
    panel = read_panel(
        choice_data, periods=periods, same=same, outside=(), faults=faults
    )
    lagged = read_numbers(choice_data, lag, faults, required=True)
    columns = {
        name: read_numbers(choice_data, name, faults, required=True)
        for name in averages
    }
    faults.check()
    assert panel is not None and lagged is not None
    for name, column in {lag: lagged, **columns}.items():
        assert column is not None
        check_length(name, column, panel.situations.size, faults)
    faults.check()
    initial = find_initial_groups(panel, lagged, name=lag, faults=faults)
    faults.check()
    found = {name: values for name, values in columns.items() if values is not None}
    return initial_columns(panel, initial, found)
