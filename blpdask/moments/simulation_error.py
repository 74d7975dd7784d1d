"""What redrawing the agents does to the moments: the part of S that simulation adds.

With draws ω, shares are inverted under a simulated integral, and moments are
ḡ(θ; ω) = Z'(δ(θ; ω) - X1 β) / N. Draws are independent of the data, hence at the truth

    Var(√N ḡ(θ₀; ω)) = Var(√N E[ḡ | data]) + N E[Var(ḡ(θ₀; ω) | data)]

(the law of total variance). The first term is what sums over products estimate; the
second is estimated by redrawing at θ̂ and β̂ (Pakes and Pollard 1989; Berry, Linton and
Pakes 2004), over replicates r = 1..R,

    S_sim = N Cov_r(ḡ_r),      Cov_r with R - 1 in its denominator.

With draws of its own in each market of I agents, Var(ḡ | data) is of order 1 / (N I):
S_sim is of order 1 / I and does not vanish as markets are added. That is why the factor
N belongs there: without it the correction would be of order 1 / (N I), nothing beside
S. PyBLP 1.3 leaves it out, and concentrates β out again in each replicate,

    ḡ_r = (I - Z'X (X'Z W Z'X)⁻¹ X'Z W) Z'δ_r / N,      S_sim = Cov_r(ḡ_r),

which takes away what simulation does to β̂ itself. Its numbers are to be had by the name
``"pyblp"``. The tests settle both by simulating data and draws many times over.

S + S_sim errs on the safe side. S comes from ξ̂ = ξ + e, e the noise of the draws, and
holds a part of S_sim already: (1/N) Σ_j E(e_j²) z_j z_j' where it is robust, and all of
it where it is clustered by markets that have draws of their own. In one large market,
for which the formula was made, that part is negligible; in many small ones it is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..errors import Faults
from ..integration.keyed import draw_markets
from ..integration.rules import Rule
from ..model.inversion import InversionMemory
from ..records import Floats, Integers, MarketBlock
from ..status import InversionStatus
from .demand import DemandState, DemandSums, demand_pass
from .objective import LinearGmm

Scaling = Literal["moments", "pyblp"]
SCALINGS: tuple[Scaling, ...] = ("moments", "pyblp")


@dataclass(frozen=True, slots=True)
class KeyedDraws:
    """Nodes from the stream keyed by (seed, market, replicate).

    Replicate r has the key r + 1: the key 0 is that of the nodes which a store
    describes, and which estimates may have been made with.

    Attributes
    ----------
    rule
        Which rule, of what size.
    seed
        Of all replicates.
    n_nodes
        Columns of nodes, before those of demographics, which are kept.
    """

    rule: Rule
    seed: int
    n_nodes: int


@dataclass(frozen=True, slots=True, eq=False)
class GivenAgents:
    """Agents of all markets from outside, in market order.

    Attributes
    ----------
    offsets
        ``(T + 1,)`` first row of each market, then A.
    draws
        ``(A, L)`` nodes, then demographics.
    weights
        ``(A,)``.
    types
        ``(A,)`` codes of types, or None.
    """

    offsets: Integers
    draws: Floats
    weights: Floats
    types: Integers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ResampleState:
    """What all replicates share.

    Attributes
    ----------
    demand
        θ̂ and how to invert.
    agents
        Who replaces the blocks' agents; None where that is yet to be said.
    ZtXb
        ``(M,)`` Z'X b̂, in long doubles.
    n_observations
        N.
    """

    demand: DemandState
    agents: KeyedDraws | GivenAgents | None
    ZtXb: Floats
    n_observations: int


@dataclass(frozen=True, slots=True, eq=False)
class ResampledMoments:
    """Moments under other agents.

    Attributes
    ----------
    moments
        ``(M,)`` ḡ_r at θ̂ and b̂.
    n_failed
        Markets whose inversion failed; moments mean nothing unless zero.
    """

    moments: Floats
    n_failed: int


def resampled_moments(
    source: Any, state: ResampleState, replicate: int
) -> ResampledMoments:
    """Compute one replicate: all blocks in order, each with its agents redrawn.

    Parameters
    ----------
    source
        Loads the blocks.
    state
        θ̂, β̂ and the stream of draws.
    replicate
        r, from 0.
    """
    assert isinstance(state.agents, KeyedDraws)
    total: Any = np.zeros(state.ZtXb.size, np.longdouble)
    n_failed = 0
    for index in range(len(source)):
        block = redraw(source.load(index), state.agents, replicate)
        sums, _ = demand_pass(block, state.demand, None)
        total += sums.Zty
        n_failed += count_failures(sums)
    return at_estimates(total, n_failed, state)


def given_moments_pass(
    block: MarketBlock, state: ResampleState, memory: InversionMemory | None
) -> tuple[DemandSums, None]:
    """Sum over a block with agents from outside, from its memory of the estimates."""
    assert isinstance(state.agents, GivenAgents)
    return demand_pass(give(block, state.agents), state.demand, memory)[0], None


def at_estimates(Zty: Floats, n_failed: int, state: ResampleState) -> ResampledMoments:
    """Turn Z'y_r ``(M,)`` into ḡ_r = (Z'y_r - Z'X b̂) / N."""
    moments = (Zty - state.ZtXb) / state.n_observations
    return ResampledMoments(moments.astype(np.float64), n_failed)


def count_failures(sums: DemandSums) -> int:
    """Count the markets whose δ did not reach the tolerance."""
    unfinished = sums.status == InversionStatus.MAX_EVALUATIONS
    nonfinite = sums.status == InversionStatus.NONFINITE
    return int((unfinished | nonfinite).sum())


def redraw(block: MarketBlock, draws: KeyedDraws, replicate: int) -> MarketBlock:
    """Give a block new nodes; its demographics stay.

    Raises
    ------
    InputError
        Where the rule builds other numbers of nodes than markets have agents.
    """
    markets = range(block.first_market, block.first_market + block.n_markets)
    built = draw_markets(draws.rule, draws.n_nodes, draws.seed, markets, replicate + 1)
    wanted, built_counts = np.diff(block.agent_offsets), built.weights.size
    if built_counts != wanted.sum() or (wanted != wanted[0]).any():
        faults = Faults("resamples")
        faults.add(
            f"{draws.rule.specification!r} of size {draws.rule.size}, but markets with "
            f"{wanted.min()} to {wanted.max()} agents",
            "the rule that the estimates were made with",
            "pass that rule as integration, or a function that gives tables of agents",
        )
        faults.check()
    demographics = block.draws[:, draws.n_nodes :]
    return replace(
        block,
        draws=np.ascontiguousarray(np.hstack([built.nodes, demographics])),
        weights=built.weights,
    )


def give(block: MarketBlock, agents: GivenAgents) -> MarketBlock:
    """Give a block the agents of its markets."""
    first = block.first_market
    offsets = agents.offsets[first : first + block.n_markets + 1]
    rows = slice(offsets[0], offsets[-1])
    return replace(
        block,
        agent_offsets=offsets - offsets[0],
        draws=np.ascontiguousarray(agents.draws[rows]),
        weights=np.ascontiguousarray(agents.weights[rows]),
        agent_types=None if agents.types is None else agents.types[rows].copy(),
    )


def simulation_covariance(
    moments: Floats, linear: LinearGmm, scaling: Scaling
) -> Floats:
    """Compute S_sim from the moments of at least two replicates, ``(M, M)``.

    Parameters
    ----------
    moments
        ``(R, M)`` ḡ_r at θ̂ and b̂.
    linear
        N, and the linear estimator of the step.
    scaling
        ``"moments"`` for N Cov_r(ḡ_r), ``"pyblp"`` for PyBLP's.
    """
    factor = float(linear.n_observations)
    if scaling == "pyblp":
        ZtXc = linear.ZtX[:, linear.concentrated].astype(np.float64)
        moments = moments - moments @ linear.estimator.T @ ZtXc.T
        factor = 1.0
    covariances = factor * np.atleast_2d(np.cov(moments, rowvar=False))
    return np.asarray((covariances + covariances.T) / 2)
