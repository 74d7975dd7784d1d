"""Ask a nested logit with what probability each alternative is chosen."""

from __future__ import annotations

from ..model.nested_choices import NestedBlock, nested_probabilities
from ..moments.nested_choices import NestedState
from .choice_probabilities import BlockProbabilities


def nested_probabilities_pass(
    block: NestedBlock, at: NestedState, memory: None
) -> tuple[BlockProbabilities, None]:
    """Compute the probabilities ``(N,)`` of a block's alternatives."""
    del memory
    rho = at.coefficients.nest_rho(at.rho)
    return BlockProbabilities(nested_probabilities(block, at.beta, rho).P), None
