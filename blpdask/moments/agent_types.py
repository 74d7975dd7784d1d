"""How much weight agents of each type have in each market.

Shares λ of types need agents of every type in every market,

    W_tr = Σ_{i∈r} w_i > 0,

for weights are divided by these sums (:mod:`blpdask.model.agent_types`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..model.agent_types import group_types
from ..records import JOINED, Floats, MarketBlock


@dataclass(frozen=True, slots=True, eq=False)
class TypeWeights:
    """Weights of a block: ``sums`` ``(T, R)`` W_tr, zero where a type is not there."""

    sums: Floats = field(metadata=JOINED)


def type_weights_pass(
    block: MarketBlock, n_types: int, memory: None
) -> tuple[TypeWeights, None]:
    """Sum a block's weights by market and type."""
    del memory
    groups, T = group_types(block, n_types), block.n_markets
    sums = np.bincount(groups, weights=block.weights, minlength=T * n_types)
    return TypeWeights(sums.reshape(T, n_types).astype(np.float64)), None
