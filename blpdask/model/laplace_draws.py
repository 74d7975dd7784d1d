"""Draws of people's tastes from where their choices say that these are.

Person i's probability is an integral over standard normal variates n, in which choices
leave a small region: draws from the prior seldom fall there. With m_i the mode of
log p_i(n) + log φ(n) at the parameters θ_c, C_i C_i' the inverse of its curvature
(:mod:`blpdask.kernels.array_modes`), and t of independent Student variates of 7 degrees
of freedom,

    n_ir = m_i + 1.1 C_i t_ir,    w_ir = φ(n_ir) / q_i(n_ir),
    P_i(θ) = ∫ p_i(n; θ) φ(n) dn ≈ (1/R) Σ_r w_ir p_i(n_ir; θ),

with q_i the density of n_ir: importance sampling, whose weights are one on average
and not exactly. Tails of q_i are thicker than those of what is integrated. The draws
stay where they are while θ moves, so that derivatives of the sum are exact.

Base points are a block's draws, standard variates of any simulation rule, of which u is
the share below them and t_ir the Student quantile. All else is a function of the block
and of θ_c: whoever works on a block makes the same draws.

References
----------
Geweke (1989) for importance sampling around modes; Pinheiro and Bates (1995).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..kernels.array_modes import find_modes
from ..kernels.standard_variates import uniforms_of_variates, variates_of_normals
from ..records import Floats

#: Degrees of freedom of Student variates.
DEGREES = 7
#: By how much draws are wider than the curvature at the mode says.
WIDENING = 1.1


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    """Student variates ``(I, R, D)`` and the logarithms of their densities (I, R)."""

    t: Floats
    log_densities: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Centred:
    """A block with draws around modes at the parameters that ``key`` tells."""

    key: bytes
    block: ChoiceBlock


class CentredBlocks:
    """Blocks with draws around modes, kept until others are asked for."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._bases: WeakKeyDictionary[ChoiceBlock, _Base] = WeakKeyDictionary()
        self._centred: WeakKeyDictionary[ChoiceBlock, _Centred] = WeakKeyDictionary()

    def centre(
        self,
        block: ChoiceBlock,
        tastes: MixedTastes,
        kinds: Sequence[str],
        *,
        backend: str,
    ) -> ChoiceBlock:
        """Give a block draws around the modes at θ, with their weights.

        Parameters
        ----------
        block
            People whose draws are standard variates of the kinds, a row a person.
        tastes
            θ at which modes are looked for.
        kinds
            ``(D,)`` of the random coefficients.
        backend
            ``numba``, ``numpy`` or ``cupy``.
        """
        key = _key(tastes)
        kept = self._centred.get(block)
        if kept is not None and kept.key == key:
            return kept.block
        base = self._bases.get(block)
        if base is None:
            base = self._bases[block] = _student(block.draws, kinds)
        centred = _centre(block, base, tastes, kinds, backend)
        self._centred[block] = _Centred(key, centred)
        return centred


@functools.cache
def centred_blocks() -> CentredBlocks:
    """Give the process's blocks with draws around modes."""
    return CentredBlocks()


def _centre(
    block: ChoiceBlock,
    base: _Base,
    tastes: MixedTastes,
    kinds: Sequence[str],
    backend: str,
) -> ChoiceBlock:
    """Move and scale Student variates, and weigh them."""
    modes = find_modes(block, tastes, kinds, backend=backend)
    D = len(kinds)
    roots = np.linalg.cholesky(modes.curvatures)
    # With -f'' = L L', C = L'^-1 has C C' = (-f'')^-1: rows of t C' are t L^-1.
    inverses = np.linalg.inv(roots)
    n = modes.places[:, None, :] + WIDENING * (base.t @ inverses)
    log_volumes = D * math.log(WIDENING) - np.log(
        np.diagonal(roots, axis1=1, axis2=2)
    ).sum(axis=1)
    log_prior = -0.5 * (n * n).sum(axis=2) - 0.5 * D * math.log(2.0 * math.pi)
    return replace(
        block,
        draws=np.ascontiguousarray(variates_of_normals(n, kinds)),
        log_weights=log_prior - base.log_densities + log_volumes[:, None],
    )


def _student(draws: Floats, kinds: Sequence[str]) -> _Base:
    """Turn standard variates into Student's, with their joint densities."""
    from scipy.special import gammaln, stdtrit

    v = float(DEGREES)
    t = np.asarray(stdtrit(v, uniforms_of_variates(draws, kinds)))
    constant = gammaln((v + 1.0) / 2.0) - gammaln(v / 2.0) - 0.5 * math.log(v * math.pi)
    logs = constant - 0.5 * (v + 1.0) * np.log1p(t * t / v)
    return _Base(t=t, log_densities=logs.sum(axis=2))


def _key(tastes: MixedTastes) -> bytes:
    """Write down what modes depend on."""
    arrays = (tastes.b, tastes.loadings, tastes.shifts)
    return b"".join(np.ascontiguousarray(values).tobytes() for values in arrays)
