"""Ask with what probability each alternative is chosen over time, stocks being habits.

Stocks take too many values for their chances to be moved exactly. Choices are therefore
simulated: path q of person i has coefficients β_iq, and in situation t the stocks

    A_t(g) = δ^Δ A_{t-1}(g) + κ δ^{Δ-1} 1{g(y_{t-1}) = g},

Δ periods after the one before, with κ one, or 1 - δ of loyalty. With P_tj(A, β) the
logit at V_jt = (x_jt + A_t(g(j)) ẋ_jt)'β,

    P_itj = Σ_q w_q P_tj(A_iqt, β_iq),

whose error falls with the root of the number of paths. A choice is where a uniform
number falls among the P_tj; those numbers are kept for each person, path and situation,
so that two answers, as at two prices, differ by what was asked and little by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats, Integers
from .choice_paths import PathBlock, PathProbabilities, beta_at
from .choice_probabilities import At


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StockBlock(PathBlock):
    """Some people's situations over time, their draws, and first stocks.

    Attributes
    ----------
    elapsed
        ``(V,)`` periods since the visit before, infinite where it is forgotten.
    stocks
        ``(I, G + 1)`` before the first choice, zero of state 0.
    keys
        ``(I,)`` whole numbers that tell people's streams of uniform numbers apart.
    """

    elapsed: Floats
    stocks: Floats
    keys: Integers


@dataclass(frozen=True, slots=True)
class Fading:
    """How stocks build up, and how many paths there are.

    Attributes
    ----------
    at
        Parameters.
    decay, gain
        δ and κ.
    size
        Least number of paths of a person: draws are used as often as it takes.
    seed
        Of uniform numbers.
    """

    at: At
    decay: float
    gain: float
    size: int
    seed: int


def stock_paths_pass(
    block: StockBlock, fading: Fading, memory: None
) -> tuple[PathProbabilities, None]:
    """Compute the probabilities of a block."""
    del memory
    found = np.zeros(len(block.paths.X))
    at = fading.at
    for i in range(block.paths.n_people):
        beta = beta_at(block, at.coefficients, at.theta, np.array([i]))[0]
        weights = np.full(len(beta), 1.0 / len(beta))
        if block.log_weights.size:
            weights *= np.exp(block.log_weights[i % len(block.log_weights)])
        times = -(-fading.size // len(beta))
        _follow(
            block,
            i,
            np.tile(beta, (times, 1)),
            np.tile(weights / times, times),
            fading,
            found,
        )
    return PathProbabilities(found), None


def _follow(
    block: StockBlock,
    i: int,
    beta: Floats,
    weights: Floats,
    fading: Fading,
    found: Floats,
) -> None:
    """Simulate a person's paths, of β ``(Q, K)``, and fill in what they say."""
    paths = block.paths
    first, stop = paths.visit_offsets[i : i + 2].tolist()
    uniform = _stream(fading.seed, int(block.keys[i])).random((stop - first, len(beta)))
    stocks = np.tile(block.stocks[i], (len(beta), 1))
    each, chosen = np.arange(len(beta)), None
    for v in range(first, stop):
        if chosen is not None:
            stocks *= fading.decay ** block.elapsed[v]
            added = fading.gain * fading.decay ** (block.elapsed[v] - 1.0)
            stocks[each, chosen] += added
            stocks[:, 0] = 0.0
        s = paths.visits[v]
        rows = slice(*paths.situation_offsets[s : s + 2].tolist())
        states = paths.states[rows]
        V = beta @ paths.X[rows].T + stocks[:, states] * (beta @ paths.lifts[rows].T)
        odds = np.exp(V - V.max(axis=1, keepdims=True))
        P = odds / odds.sum(axis=1, keepdims=True)
        found[rows] = weights @ P
        below = uniform[v - first, :, np.newaxis] > np.cumsum(P, axis=1)[:, :-1]
        chosen = states[below.sum(axis=1)]


def _stream(seed: int, key: int) -> np.random.Generator:
    """Open a person's stream of uniform numbers."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(key,)))
    )
