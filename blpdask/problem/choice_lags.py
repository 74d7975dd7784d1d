"""What did people choose before: lags, stocks and loyalty, as a column of alternatives.

With g(j) the group of alternative j, c_s(g) whether what a person chose in situation s
is of group g, and Δ the periods between situations s - 1 and s,

    lag      A_s(g) = c_{s-1}(g),
    stock    A_s(g) = δ^Δ A_{s-1}(g) + δ^{Δ-1} c_{s-1}(g),
    loyalty  (1 - δ) times the stock,

and the row of alternative j has A_s(g(j)) (Heckman 1981; Guadagni and Little 1983;
Tuchman 2019). Stocks decay through periods without a situation as if nothing had been
chosen. Where more than ``gap`` periods lie between situations, nothing is known of the
one before: stocks begin anew.

References
----------
Heckman (1981), "Heterogeneity and State Dependence"; Guadagni and Little (1983), "A
Logit Model of Brand Choice Calibrated on Scanner Data"; Tuchman (2019), "Advertising
and Demand for Addictive Goods: The Effects of E-Cigarette Advertising".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats, Integers
from .panel_rows import Flags, PanelRows

KINDS = ("lag", "stock", "loyalty")


@dataclass(frozen=True, slots=True, eq=False)
class LaggedChoices:
    """What people chose before, a value a row of the table as given.

    Attributes
    ----------
    values
        ``(N,)`` A of the row's group.
    known
        ``(N,)`` whether the choice before is: not in a first situation without an
        initial state, nor after a long gap.
    kept
        ``(N,)`` whether the row comes after its person's burn-in, whose situations do
        no more than set the lag.
    """

    values: Floats
    known: Flags
    kept: Flags


@dataclass(frozen=True, slots=True, eq=False)
class PreviousChoices:
    """The situation before each of S, sorted by person and period.

    Attributes
    ----------
    groups
        ``(S,)`` group chosen in it, -1 of none or where it is not known.
    known
        ``(S,)`` whether it is.
    follows
        ``(S,)`` whether it is the table's own, and not an initial state.
    elapsed
        ``(S,)`` periods since it; one in a first situation.
    """

    groups: Integers
    known: Flags
    follows: Flags
    elapsed: Floats


def find_previous(
    panel: PanelRows,
    chosen: Flags,
    *,
    gap: float | None,
    initial: tuple[Integers, Flags] | None,
) -> PreviousChoices:
    """Look at what was chosen before.

    Parameters
    ----------
    panel
        Rows in order.
    chosen
        ``(N,)``, one row of each situation.
    gap
        Most periods between situations of which one is the other's past; None where
        any number will do.
    initial
        ``(I,)`` groups chosen before people's first situations, -1 of none, and whether
        they are known; None where nothing is known.
    """
    picked = np.empty(panel.people.size, np.int64)
    picked[panel.situations[chosen]] = panel.groups[chosen]
    first = panel.first
    elapsed = np.where(first, 1.0, np.diff(panel.periods, prepend=0.0))
    follows = ~first
    if gap is not None:
        follows &= elapsed <= gap
    groups = np.where(follows, np.concatenate([[-1], picked[:-1]]), -1)
    known = follows.copy()
    if initial is not None:
        before, told = initial
        groups[first], known[first] = before[panel.people[first]], told
    return PreviousChoices(groups, known, follows, elapsed)


def lag_choices(panel: PanelRows, previous: PreviousChoices) -> Floats:
    """Say of each row whether its group was chosen before, ``(N,)``."""
    before = previous.groups[panel.situations]
    same: Flags = (panel.groups == before) & (before >= 0)
    return np.asarray(same, np.float64)


def stock_choices(panel: PanelRows, previous: PreviousChoices, decay: float) -> Floats:
    """Add up past choices of each row's group, ``(N,)``, fading by ``decay`` a period.

    Notes
    -----
    People's first situations are worked on together, then their second ones, and so
    on: memory is that of people times groups.
    """
    firsts = np.flatnonzero(panel.first)
    rank = np.arange(panel.people.size) - firsts[panel.people]
    order = np.argsort(panel.situations, kind="stable")
    stops = np.cumsum(np.bincount(panel.situations, minlength=rank.size))
    counts = np.diff(stops, prepend=0)
    by_rank = np.split(np.argsort(rank, kind="stable"), np.cumsum(np.bincount(rank)))
    stock = np.zeros((firsts.size, len(panel.levels)))
    values = np.zeros(panel.situations.size)
    for now in by_rank[:-1]:
        who, before, elapsed = (
            panel.people[now],
            previous.groups[now],
            previous.elapsed[now],
        )
        held = np.where(previous.follows[now], decay**elapsed, 0.0)
        stock[who] *= held[:, np.newaxis]
        some = before >= 0
        stock[who[some], before[some]] += decay ** (elapsed[some] - 1.0)
        rows = order[_ranges(stops[now] - counts[now], counts[now])]
        group, person = panel.groups[rows], np.repeat(who, counts[now])
        inside = group >= 0
        values[rows[inside]] = stock[person[inside], group[inside]]
    return values


def keep_after(panel: PanelRows, burn_in: float) -> Flags:
    """Say which rows ``(N,)`` come ``burn_in`` periods or more after a person's first.

    Parameters
    ----------
    panel
        Rows in order.
    burn_in
        Periods.
    """
    began = panel.periods[panel.first][panel.people]
    return np.asarray((panel.periods - began >= burn_in)[panel.situations])


def _ranges(starts: Integers, counts: Integers) -> Integers:
    """Concatenate ranges of ``counts`` whole numbers from ``starts`` on."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1]) + np.repeat(starts - ends + counts, counts)
