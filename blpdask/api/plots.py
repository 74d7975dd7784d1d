"""Pictures of estimates and of the search for them.

Which parameters are told from zero: θ̂_p / se_p, with its interval of ± 1.96. How a
search went: q(θ_e) - min q by evaluation e, on a log scale, where superlinear
convergence bends downwards (Nocedal and Wright 2006, section 3.3). Matplotlib is the
extra ``plots``.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BlpdaskError, Faults
from ..progress import EvaluationEvent, Event
from ..results.estimates import GmmEstimates
from ..results.tables import ParameterRow, error_description, parameter_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NORMAL_975 = 1.959963984540054


def plot_estimates(estimates: GmmEstimates, ax: Axes | None = None) -> Axes:
    """Plot estimates over standard errors, with 95 % intervals.

    Scaled so, parameters of any size stand side by side; the numbers themselves are
    written on the right. Parameters without a standard error, fixed ones, are left out.

    Parameters
    ----------
    estimates
        Say ``results.estimates``.
    ax
        Axes to draw on, new ones where None.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, for titles and further changes.

    Raises
    ------
    BlpdaskError
        Where Matplotlib is not installed.
    """
    rows = [row for row in parameter_rows(estimates) if row.std_error > 0]
    if ax is None:
        _, ax = pyplot().subplots(
            figsize=(7, 0.9 + 0.3 * len(rows)), layout="constrained"
        )
    places = np.arange(len(rows))
    ax.errorbar(
        [row.t_statistic for row in rows], places, xerr=_NORMAL_975, fmt="o", capsize=3
    )
    ax.axvline(0.0, color="grey", linewidth=0.8)
    ax.set_yticks(places, [_label(row) for row in rows])
    ax.invert_yaxis()
    ax.set_xlabel(f"estimate / standard error ({error_description(estimates)}), ± 1.96")
    right = ax.secondary_yaxis("right")
    right.set_yticks(
        places, [f"{row.estimate:.4g} ({row.std_error:.3g})" for row in rows]
    )
    right.tick_params(length=0)
    return ax


def plot_search(events: Iterable[Event], ax: Axes | None = None) -> Axes:
    """Plot the objective above the lowest one found, by evaluation, on a log scale.

    Parameters
    ----------
    events
        What ``problem.solve(..., progress=events.append)`` was told. Each step of GMM
        has its own objective, so each has its own minimum; starting points of a step
        share it. The lowest evaluation, at a height of zero, is left out.
    ax
        Axes to draw on, new ones where None.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, with a line a step and starting point.

    Raises
    ------
    InputError
        Where no event is an evaluation.
    BlpdaskError
        Where Matplotlib is not installed.
    """
    searches = _heights(events)
    if ax is None:
        _, ax = pyplot().subplots(figsize=(7, 4), layout="constrained")
    for name, (numbers, heights) in searches.items():
        ax.plot(numbers, heights, marker="o", markersize=3, label=name)
    ax.set_yscale("log")
    ax.set_xlabel("evaluation")
    ax.set_ylabel("objective above the minimum")
    if 1 < len(searches) <= 6:
        ax.legend()
    return ax


def _label(row: ParameterRow) -> str:
    """Name a parameter by its matrix and place, ``"pi: prices × income"``."""
    place = f"{row.row} × {row.column}" if row.column else row.row
    return f"{row.matrix}: {place}"


def _heights(events: Iterable[Event]) -> dict[str, tuple[list[int], list[float]]]:
    """Sort evaluations into searches: numbers, and heights above the step's minimum."""
    told = [event for event in events if isinstance(event, EvaluationEvent)]
    evaluations = [event for event in told if np.isfinite(event.objective)]
    if not evaluations:
        faults = Faults("plot_search")
        faults.add(
            "no evaluation of a finite objective among the events",
            "the events of a search",
            "collect them: events = []; problem.solve(..., progress=events.append)",
        )
        faults.check()
    lowest: dict[int, float] = {}
    for event in evaluations:
        known = lowest.get(event.step, np.inf)
        lowest[event.step] = min(known, event.objective)
    found: dict[str, tuple[list[int], list[float]]] = {}
    for event in evaluations:
        name = f"step {event.step}, start {event.start + 1}"
        numbers, heights = found.setdefault(name, ([], []))
        if event.objective > lowest[event.step]:
            numbers.append(event.number)
            heights.append(event.objective - lowest[event.step])
    return found


def pyplot() -> ModuleType:
    """Import Matplotlib, or say which extra brings it."""
    try:
        import matplotlib.pyplot
    except ImportError:
        raise BlpdaskError(
            "found: no package matplotlib, which draws\n"
            "  expected: matplotlib installed\n"
            "  what to do: pip install 'blpdask[plots]'"
        ) from None
    return matplotlib.pyplot
