"""Search for the highest of several maxima of a likelihood, from several starts.

A likelihood that is simulated, or of mixed types, is not concave: searches from
different starts may end at different maxima, some of them fail where probabilities
overflow. All starts are searched from on the same placement of blocks, and the highest
end is the one that Newton's method then climbs on from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..choice_records import LikelihoodSearch
from ..errors import NumericalError
from ..progress import Listener, StepEvent
from ..records import Floats
from .likelihood_newton import Peak, climb
from .likelihood_objective import LikelihoodObjective
from .optimizers.protocol import Outcome

MakeObjective = Callable[[int], LikelihoodObjective]
Search = Callable[[LikelihoodObjective, Floats], Outcome]


@dataclass(frozen=True, slots=True, eq=False)
class Highest:
    """Where the best of several searches ended.

    Attributes
    ----------
    outcome, peak
        How it ended, and where Newton's method did.
    evaluations
        Of all searches.
    number
        Of the start that led there.
    searches
        All of them, in the order of starts; none where there was one start.
    """

    outcome: Outcome
    peak: Peak
    evaluations: int
    number: int = 0
    searches: tuple[LikelihoodSearch, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Ended:
    """One search, what it worked on, and why it failed where it did."""

    objective: LikelihoodObjective
    outcome: Outcome
    search: LikelihoodSearch
    error: NumericalError | None = None


def climb_highest(
    make: MakeObjective,
    search: Search,
    starts: Sequence[Floats],
    listener: Listener,
) -> Highest:
    """Search from all starts, and climb on from the highest end.

    Parameters
    ----------
    make
        Makes the objective of a start by its number.
    search
        Searches from a start.
    starts
        ``(P,)`` each.
    listener
        Told where the work is.

    Raises
    ------
    NumericalError
        Where all searches fail: the first one's.
    """
    several, ended = len(starts) > 1, []
    for number, start in enumerate(starts):
        which = f" from start {number + 1} of {len(starts)}" if several else ""
        listener(StepEvent(1, f"Optimising{which}"))
        ended.append(_search_from(make(number), search, start, several=several))
    listener(StepEvent(1, "Computing the Hessian"))
    order = sorted(range(len(ended)), key=lambda n: _rank(ended[n].search))
    searches = [one.search for one in ended]
    for n in order:
        try:
            peak = _climb(ended[n])
        except NumericalError as error:
            if not several:
                raise
            searches[n] = _failed(searches[n], error)
            ended[n] = replace(ended[n], error=error)
            continue
        reached = float(peak.sums.log_likelihood)
        searches[n] = replace(searches[n], theta=peak.theta, log_likelihood=reached)
        return Highest(
            outcome=ended[n].outcome,
            peak=peak,
            evaluations=sum(one.objective.evaluations for one in ended),
            number=n,
            searches=tuple(searches) if several else (),
        )
    raise next(one.error for one in ended if one.error is not None)


def _search_from(
    objective: LikelihoodObjective, search: Search, start: Floats, *, several: bool
) -> _Ended:
    """Search from one start; with several, an error is kept and not raised."""
    record = LikelihoodSearch(start, start, np.nan, False, 0, "")
    try:
        outcome = search(objective, start)
        value = np.nan
        if several:
            value = objective.finite_sums(outcome.theta).log_likelihood
    except NumericalError as error:
        if not several:
            raise
        outcome = Outcome(start, False, 0, objective.evaluations, str(error))
        return _Ended(objective, outcome, _failed(record, error), error)
    found = LikelihoodSearch(
        start=start,
        theta=outcome.theta,
        log_likelihood=value,
        converged=outcome.converged,
        evaluations=outcome.evaluations,
        message=outcome.message,
    )
    return _Ended(objective, outcome, found)


def _climb(ended: _Ended) -> Peak:
    """Climb on from where a search ended, if it did not fail."""
    if ended.error is not None:
        raise ended.error
    steps = ended.outcome.evaluations > 0
    return climb(ended.objective, ended.outcome.theta, steps=steps)


def _rank(search: LikelihoodSearch) -> tuple[bool, float]:
    """Order searches: the highest first, those that failed last."""
    failed = not np.isfinite(search.log_likelihood)
    return failed, 0.0 if failed else -search.log_likelihood


def _failed(search: LikelihoodSearch, error: NumericalError) -> LikelihoodSearch:
    return replace(search, log_likelihood=np.nan, converged=False, message=str(error))
