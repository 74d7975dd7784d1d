"""Sums over blocks of people whose draws lie around the modes of their tastes.

    LL(θ; θ_c) = Σ_i w_i log (1/R) Σ_r w_ir(θ_c) p_i(n_ir(θ_c); θ),

with draws and weights of :mod:`blpdask.model.laplace_draws` at the parameters θ_c.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..choice_records import ChoiceBlock, MixedTastes
from ..model.laplace_draws import centred_blocks
from .choices import LikelihoodState, LikelihoodSums, likelihood_pass


@dataclass(frozen=True, slots=True)
class CentredState:
    """θ and θ_c as sent to every block.

    Attributes
    ----------
    here
        θ, and what is wanted there.
    centre
        θ_c as kernels read it.
    kinds
        ``(D,)`` of the random coefficients.
    """

    here: LikelihoodState
    centre: MixedTastes
    kinds: tuple[str, ...]


def centred_pass(
    block: ChoiceBlock, state: CentredState, memory: None
) -> tuple[LikelihoodSums, None]:
    """Sum log P_i and its derivatives over people: what an engine maps over blocks."""
    centred = centred_blocks().centre(
        block, state.centre, state.kinds, backend=state.here.backend
    )
    return likelihood_pass(centred, state.here, memory)
