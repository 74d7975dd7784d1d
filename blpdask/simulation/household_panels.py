"""What do households buy that like, or are used to, what they bought before.

A panel of the shape of Tuchman's (2019): households i buy in week t one of some
addictive goods j, such as cigarettes and e-cigarettes, or nothing, with utility

    u_ijt = ξ_ij + α p_jmt + φ a_jmt + φ_o Σ_{k≠j} a_kmt
            + γ_i 1{g(y_i,t-1) = g(j)} + ε_ijt

and ε_i0t from buying nothing; tastes ξ_ij and habit γ_i are normal, prices p and
advertising a those of the household's market m. Prices follow base_j e^v with v an
autoregression; advertising is the logarithm of one plus what was sent that week, often
nothing. Weeks that are not recorded go before: first states are the model's own.

Everything is from a seed alone: each market and each household has a stream of its own
(``SeedSequence(seed, spawn_key)``), so that more of them leave the others as they are.

References
----------
Tuchman (2019), "Advertising and Demand for Addictive Goods: The Effects of E-Cigarette
Advertising".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .panel_design import (
    NOTHING,
    PanelDesign,
    check_counts,
    check_design,
    mean_coefficients,
)

if TYPE_CHECKING:
    import pandas as pd

#: Persistence and innovations of log prices.
_PERSISTENCE, _SHOCK = 0.8, 0.08


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPanel:
    """A panel and its truth.

    Attributes
    ----------
    data
        Columns ``(N,)`` by name, a row an alternative of a household and week, in
        order: ``person_ids``, ``situation_ids`` and ``period_ids`` (both the week),
        ``market_ids``, ``alternative_ids``, ``group_ids``, ``chosen``, ``prices``,
        ``advertising``, ``rival_advertising``, a dummy a good, and ``lag``, which is
        true in the first week too.
    formula, random
        What :class:`blpdask.ChoiceProblem` takes to estimate the model that it is from.
    theta, labels
        ``(P,)`` the truth in that problem's order, and what it is of.
    coefficients
        ``(I, K)`` each household's own, of goods, prices, advertising and the lag.
    """

    data: dict[str, np.ndarray[Any, Any]]
    formula: str
    random: dict[str, str]
    theta: Floats
    labels: tuple[str, ...]
    coefficients: Floats

    def to_frame(self) -> pd.DataFrame:
        """Give the table as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.data)


def simulate_panel(
    n_households: int = 200,
    n_weeks: int = 52,
    *,
    seed: int = 0,
    n_markets: int = 10,
    before: int = 100,
    design: PanelDesign | None = None,
) -> SimulatedPanel:
    """Simulate a panel of households with habits.

    Parameters
    ----------
    n_households, n_weeks
        Recorded, the weeks from zero on.
    seed
        Of all that is random.
    n_markets
        Households live in these by turns.
    before
        Weeks that go before, of which nothing is recorded; in the first of them nobody
        has a habit.
    design
        Goods and parameters, by default those of :class:`PanelDesign`.

    Returns
    -------
    SimulatedPanel
        Table and truth.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> panel = simulate_panel(3, 4)
    >>> len(panel.data["chosen"]), int(panel.data["chosen"].sum())
    (36, 12)
    >>> panel.labels[:4], panel.theta[-2:].tolist()
    (('cigarettes', 'ecigarettes', 'prices', 'advertising'), [1.5, 1.0])
    """
    chosen = PanelDesign() if design is None else design
    faults = Faults("simulate_panel")
    counts = {
        "n_households": (n_households, 1),
        "n_weeks": (n_weeks, 1),
        "n_markets": (n_markets, 1),
        "before": (before, 0),
        "seed": (seed, 0),
    }
    check_counts(counts, faults)
    check_design(chosen, faults)
    faults.check()
    markets = np.arange(n_households) % n_markets
    length = before + n_weeks
    paths = [_draw_market(seed, m, length, chosen) for m in range(n_markets)]
    prices, ads = (np.stack(each)[markets] for each in zip(*paths, strict=True))
    tastes, epsilon = _draw_households(seed, n_households, length, chosen)
    X = _characteristics(chosen, prices, ads)
    picked, lags = _choose(chosen, X, tastes, epsilon)
    recorded = slice(before, length)
    X[..., -1] = lags
    columns = _tabulate(chosen, X[:, recorded], picked[:, recorded], markets)
    random = [
        good for good, s in zip(chosen.goods, chosen.deviations, strict=True) if s
    ]
    spreads = [s for s in chosen.deviations if s]
    if chosen.habit_deviation:
        random.append("lag")
        spreads.append(chosen.habit_deviation)
    return SimulatedPanel(
        data=columns,
        formula=" + ".join(("0", *chosen.labels)),
        random=dict.fromkeys(random, "normal"),
        theta=np.concatenate([mean_coefficients(chosen), spreads]),
        labels=(*chosen.labels, *[f"sd.{name}" for name in random]),
        coefficients=tastes,
    )


def _draw_market(
    seed: int, market: int, length: int, design: PanelDesign
) -> tuple[Floats, Floats]:
    """Draw prices and advertising of goods, ``(T, J)`` each."""
    stream, J = _stream(seed, 0, market), len(design.goods)
    prices, ads = np.empty((length, J)), np.empty((length, J))
    log_price = _SHOCK / (1 - _PERSISTENCE**2) ** 0.5 * stream.standard_normal(J)
    for t in range(length):
        prices[t] = np.array(design.base_prices) * np.exp(log_price)
        log_price = _PERSISTENCE * log_price + _SHOCK * stream.standard_normal(J)
        sent = stream.exponential(4.0, J) * (stream.random(J) < 0.6)
        ads[t] = np.log1p(sent) * design.advertises
    return prices, ads


def _draw_households(
    seed: int, n_households: int, length: int, design: PanelDesign
) -> tuple[Floats, Floats]:
    """Draw coefficients ``(I, K)`` and ε of nothing and goods, ``(I, T, 1 + J)``."""
    J = len(design.goods)
    tastes = np.tile(mean_coefficients(design), (n_households, 1))
    epsilon = np.empty((n_households, length, 1 + J))
    for i in range(n_households):
        stream = _stream(seed, 1, i)
        drawn = stream.standard_normal(J + 1)
        tastes[i, :J] += np.array(design.deviations) * drawn[:J]
        tastes[i, -1] += design.habit_deviation * drawn[J]
        epsilon[i] = stream.gumbel(size=(length, 1 + J))
    return tastes, epsilon


def _characteristics(design: PanelDesign, prices: Floats, ads: Floats) -> Floats:
    """Put characteristics together, ``(I, T, 1 + J, K)``, those of nothing first."""
    labels, J = design.labels, len(design.goods)
    X = np.zeros((*prices.shape[:2], 1 + J, len(labels)))
    X[:, :, 1:, :J] = np.eye(J)
    X[:, :, 1:, labels.index("prices")] = prices
    if "advertising" in labels:
        X[:, :, 1:, labels.index("advertising")] = ads
    if "rival_advertising" in labels:
        rivals = ads.sum(axis=2, keepdims=True) - ads
        X[:, :, 1:, labels.index("rival_advertising")] = rivals
    return X


def _choose(
    design: PanelDesign, X: Floats, tastes: Floats, epsilon: Floats
) -> tuple[Integers, Floats]:
    """Choose week by week: what ``(I, T)``, and at which lags ``(I, T, 1 + J)``."""
    codes = {group: g + 1 for g, group in enumerate(dict.fromkeys(design.groups))}
    groups = np.array([0, *[codes[group] for group in design.groups]])
    plain = (X[..., :-1] @ tastes[:, np.newaxis, :-1, np.newaxis])[..., 0] + epsilon
    picked = np.empty(plain.shape[:2], np.int64)
    lags = np.zeros(plain.shape)
    state = np.zeros(len(plain), np.int64)
    for t in range(plain.shape[1]):
        lags[:, t] = (groups == state[:, np.newaxis]) & (groups > 0)
        utilities = plain[:, t] + tastes[:, -1:] * lags[:, t]
        picked[:, t] = utilities.argmax(axis=1)
        state = groups[picked[:, t]]
    return picked, lags


def _tabulate(
    design: PanelDesign, X: Floats, picked: Integers, markets: Integers
) -> dict[str, np.ndarray[Any, Any]]:
    """Make columns with a row an alternative."""
    i, t, j = (places.ravel() for places in np.indices(X.shape[:3]))
    rows = X.reshape(i.size, -1)
    found: dict[str, np.ndarray[Any, Any]] = {
        "person_ids": i,
        "situation_ids": t,
        "period_ids": t.copy(),
        "market_ids": markets[i],
        "alternative_ids": np.array([NOTHING, *design.goods])[j],
        "group_ids": np.array([NOTHING, *design.groups])[j],
        "chosen": (j == picked[i, t]).astype(np.int64),
    }
    return found | {name: rows[:, k] for k, name in enumerate(design.labels)}


def _stream(seed: int, *key: int) -> np.random.Generator:
    """Open the stream of random numbers that a key names."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key))
    )
