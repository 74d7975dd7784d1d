"""Small seeded blocks of markets on which every kernel must agree with the reference.

Each is a name, a block, tastes at which to invert it (not those it was made with), and
the accuracy that its conditioning allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from blpdask.records import Floats, MarketBlock, Tastes
from tests.kernels import reference


@dataclass(frozen=True, slots=True)
class Example:
    """A block, tastes, and how far δ may be from the reference."""

    name: str
    block: MarketBlock
    tastes: Tastes
    delta_tolerance: float = 1e-11


Shape = tuple[int, int]
EQUAL: list[Shape] = [(8, 30)] * 6
UNBALANCED: list[Shape] = [(1, 5), (3, 1), (17, 40), (9, 25), (2, 64), (30, 50), (1, 1)]


def make_tastes(
    loadings: list[list[float]], types: list[int] | None = None, lower: bool = True
) -> Tastes:
    """Make tastes; entries of Γ = [Σ | Π] are free, above Σ's diagonal excepted."""
    gamma = np.array(loadings, dtype=float)
    n = gamma.shape[0]
    free = np.ones(gamma.shape, dtype=bool)
    if lower:
        free[:, :n] = np.tri(n, dtype=bool)
    rows, columns = np.nonzero(free)
    kinds = np.zeros(n, dtype=np.int64) if types is None else np.array(types)
    return Tastes(gamma, kinds, rows.astype(np.int64), columns.astype(np.int64))


def diagonal_tastes(sigma: list[float], types: list[int] | None = None) -> Tastes:
    """Make tastes with a diagonal Σ, whose diagonal is free, and no demographics."""
    tastes = make_tastes(np.diag(sigma).tolist(), types)
    free = np.arange(len(sigma), dtype=np.int64)
    return replace(tastes, rows=free, columns=free)


def make_block(
    seed: int, shapes: list[Shape], tastes: Tastes, spread: float = 1.0
) -> MarketBlock:
    """Make markets of the given (J, I) whose shares follow from 0.7 Γ and random δ."""
    rng = np.random.default_rng(seed)
    K2, L = tastes.loadings.shape
    J, I = np.array(shapes).T  # noqa: E741
    N, A = J.sum(), I.sum()
    X2 = rng.normal(size=(K2, N))
    X2[0] = 1.0
    blank = MarketBlock(
        index=0,
        first_market=0,
        product_offsets=np.concatenate([[0], np.cumsum(J)]),
        agent_offsets=np.concatenate([[0], np.cumsum(I)]),
        X2=X2,
        log_shares=np.zeros(N),
        logit_delta=np.zeros(N),
        draws=rng.normal(size=(A, L)),
        weights=np.repeat(1.0 / I, I),
        ZD=rng.normal(size=(N, 2)),
    )
    truth = replace(tastes, loadings=0.7 * tastes.loadings)
    delta = rng.normal(-1.0, spread, size=N)
    return with_shares(blank, reference.shares(blank, truth, delta))


def with_shares(block: MarketBlock, shares: Floats) -> MarketBlock:
    """Give a block other observed shares."""
    logit_delta = np.empty(block.n_products)
    for products, _ in reference.markets(block):
        outside = 1.0 - shares[products].sum()
        logit_delta[products] = np.log(shares[products]) - np.log(outside)
    return replace(block, log_shares=np.log(shares), logit_delta=logit_delta)


def thin_outside(outside: float) -> Example:
    """Make markets whose outside good has almost no share."""
    tastes = diagonal_tastes([0.8, 1.0])
    block = make_block(7, EQUAL, tastes)
    shares = np.exp(block.log_shares)
    for products, _ in reference.markets(block):
        shares[products] *= (1.0 - outside) / shares[products].sum()
    # log shares are known to 1e-16, and an outside share of ε makes δ ε⁻¹ as unsure
    return Example("thin-outside", with_shares(block, shares), tastes, 1e-15 / outside)


def negative_weights() -> Example:
    """Make markets integrated by a rule some of whose weights are negative."""
    tastes = diagonal_tastes([0.5, 0.7])
    block = make_block(8, [(6, 9)] * 4, tastes)
    nodes = np.array([[0, 0], [1, 0], [-1, 0], [2, 0], [-2, 0]])
    nodes = np.concatenate([nodes, nodes[1:, ::-1]])
    one = np.array([-0.6, *[0.3, 0.3, 0.1, 0.1] * 2])
    draws, weights = np.tile(nodes.astype(float), (4, 1)), np.tile(one, 4)
    block = replace(block, draws=draws, weights=weights)
    shares = reference.shares(block, tastes, block.logit_delta)
    truth = replace(tastes, loadings=1.2 * tastes.loadings)
    return Example("negative-weights", with_shares(block, shares), truth)


def extreme_utilities() -> Example:
    """Make markets with agents whose utilities reach ±700 beside ordinary ones."""
    tastes = make_tastes([[0.5, 0.0, 0.0], [0.2, 0.8, 700.0]])
    block = make_block(9, [(6, 20), (9, 30)], tastes)
    X2 = block.X2.copy()
    X2[1] = np.clip(X2[1], -1.0, 1.0)
    draws = block.draws.copy()
    draws[:, 2] = 0.0
    draws[::10, 2], draws[5::10, 2] = 1.0, -1.0
    block = replace(block, X2=X2, draws=draws)
    truth = replace(tastes, loadings=tastes.loadings * [[0.7, 0.7, 1.0]])
    delta = np.random.default_rng(9).normal(-1.0, 0.5, size=block.n_products)
    shares = reference.shares(block, truth, delta)
    return Example("extreme-utilities", with_shares(block, shares), tastes)


def catalogue() -> list[Example]:
    """List all examples."""
    mixed = [[0.5, 0, 0, 0.3], [0.2, 0.4, 0, -0.2], [0.1, -0.3, 0.6, 0.5]]
    full = [[0.8, 0, 0, 0.3, -0.5], [0.4, 0.9, 0, 0.2, 0.1], [-0.3, 0.5, 0.7, 0, 0.6]]
    many = [0.8, 0.6, 0.5, 0.7, 0.4]
    tastes = {
        "one-coefficient": (EQUAL, diagonal_tastes([1.2])),
        "equal": (EQUAL, diagonal_tastes([0.8, 1.0])),
        "unbalanced": (UNBALANCED, diagonal_tastes([0.8, 1.0])),
        "full-sigma-pi": (EQUAL, make_tastes(full)),
        "log-logit": ([(5, 20), (7, 31)], make_tastes(mixed, [0, 1, 2])),
        "four-coefficients": ([(12, 40)] * 3, diagonal_tastes(many[:4])),
        "five-coefficients": ([(12, 40)] * 3, diagonal_tastes(many)),
        "one-product": ([(1, 12)] * 4, diagonal_tastes([0.8, 1.0])),
        "one-agent": ([(6, 1)] * 4, diagonal_tastes([0.8, 1.0])),
        "dispersed": ([(20, 35), (30, 12)], diagonal_tastes([6.0, 8.0])),
        "large": ([(40, 300), (25, 200)], diagonal_tastes([1.5, 2.0])),
    }
    made = [
        Example(name, make_block(seed, shapes, theta), theta)
        for seed, (name, (shapes, theta)) in enumerate(tastes.items())
    ]
    return [*made, thin_outside(1e-4), negative_weights(), extreme_utilities()]
