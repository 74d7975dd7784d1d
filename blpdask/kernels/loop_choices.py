"""Simulated probabilities of what people chose, and their derivatives, in loops.

With differences x̃_jt = x_jt - x_ct to the alternative c that i chose in situation t,

    P_it(β) = 1 / (1 + Σ_{j≠c} e^{x̃_jt'β}),   log p_ir = Σ_t log P_it(β_ir),
    P_i = Σ_r p_ir / R,   ∂log P_i/∂β_ir = -ω_ir Σ_t Σ_{j≠c} P_ijt x̃_jt,

where ω_ir = p_ir / Σ_s p_is (Train 2009, 6.4 and 8.3). Draws are worked on 32 at a time
(:mod:`blpdask.kernels.loop_situations`); sums over draws are relative to the largest
log p_ir so far (log-sum-exp). Memory does not grow with R.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..records import Floats
from .loop_compiler import exact, reorder
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import exponentiate
from .loop_situations import WIDTH, make_scratch, walk_situations

_LOG2 = math.log(2.0)


def choice_probabilities(
    block: ChoiceBlock, tastes: MixedTastes, *, derivatives: bool
) -> tuple[Floats, Floats]:
    """Compute log P_i ``(I,)`` and ∂log P_i/∂θ ``(I, P)``.

    Parameters
    ----------
    block, tastes
        Choices of people, and θ.
    derivatives
        Whether derivatives are wanted; without them they are ``(I, 0)``.
    """
    n_people = block.n_people
    log_probabilities = np.empty(n_people)
    scores = np.empty((n_people, tastes.size if derivatives else 0))
    _compiled_choices(fingerprint_of_loops())(
        block.X,
        block.chosen,
        block.situation_offsets,
        block.person_offsets,
        block.draws,
        tastes.b,
        tastes.loadings,
        tastes.shapes,
        tastes.rows,
        tastes.columns,
        log_probabilities,
        scores,
    )
    return log_probabilities, scores


@exact
def subtract_chosen(X, chosen, offsets, first, differences):
    """Fill x̃ ``(rows, K)`` of a person and return offsets of situations in it."""
    starts = np.zeros(offsets.size, np.int64)
    place = 0
    for t in range(offsets.size - 1):
        c = chosen[first + t]
        for n in range(offsets[t], offsets[t + 1]):
            if n != c:
                for k in range(X.shape[1]):
                    differences[place, k] = X[n, k] - X[c, k]
                place += 1
        starts[t + 1] = place
    return starts


@exact
def load_draws(draws, first, z):
    """Fill z ``(D, WIDTH)`` with draws from ``first`` on, zeros beyond the last."""
    n = min(WIDTH, draws.shape[0] - first)
    z[:, n:] = 0.0
    for r in range(n):
        for d in range(z.shape[0]):
            z[d, r] = draws[first + r, d]
    return n


@reorder
def fill_coefficients(b, loadings, z, beta):
    """Fill η ``(K, WIDTH)``."""
    for k in range(b.size):
        eta = beta[k]
        for r in range(WIDTH):
            eta[r] = b[k]
        for d in range(z.shape[0]):
            by, of = loadings[k, d], z[d]
            if by != 0.0:
                for r in range(WIDTH):
                    eta[r] += by * of[r]


@exact
def shape_coefficients(shapes, beta, slopes):
    """Overwrite η by h(η) and fill h'(η), both ``(K, WIDTH)``."""
    for k in range(shapes.size):
        if shapes[k] == 1:
            for r in range(WIDTH):
                beta[k, r] = math.exp(beta[k, r])
                slopes[k, r] = beta[k, r]
        elif shapes[k] == 2:
            for r in range(WIDTH):
                slopes[k, r] = 1.0 if beta[k, r] > 0.0 else 0.0
                beta[k, r] = 0.0 if beta[k, r] < 0.0 else beta[k, r]
        elif shapes[k] == 3:
            for r in range(WIDTH):
                h = 1.0 / (1.0 + math.exp(-beta[k, r]))
                beta[k, r] = h
                slopes[k, r] = h * (1.0 - h)


@exact
def fill_logs(mantissas, exponents, n, logs):
    """Subtract log Π_t 1 / P_it from ``logs``; beyond n draws they are -inf."""
    for r in range(n):
        logs[r] -= math.log(mantissas[r]) + _LOG2 * exponents[r]
    logs[n:] = -math.inf


@reorder
def add_draws(omega, slopes, shaped, z, rows, columns, score):
    """Add Σ_r ω_r ∂log p_r/∂θ to ``score`` ``(P,)``; return Σ_r ω_r."""
    K = slopes.shape[0]
    total = 0.0
    for r in range(WIDTH):
        total += omega[r]
    if score.size > 0:
        for k in range(K):
            g, h = slopes[k], shaped[k]
            added = 0.0
            for r in range(WIDTH):
                g[r] *= omega[r] * h[r]
                added += g[r]
            score[k] += added
        for e in range(rows.size):
            g, of = slopes[rows[e]], z[columns[e]]
            added = 0.0
            for r in range(WIDTH):
                added += g[r] * of[r]
            score[K + e] += added
    return total


@functools.cache
def _compiled_choices(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over people."""

    @kept(fills=2)
    def choices_block(
        X,
        chosen,
        situation_offsets,
        person_offsets,
        draws,
        b,
        loadings,
        shapes,
        rows,
        columns,
        log_probabilities,
        scores,
    ):
        """Fill log P_i and ∂log P_i/∂θ of every person of a block."""
        _ = fingerprint
        R, wanted = draws.shape[1], scores.shape[1] > 0
        scratch, differences = make_scratch(
            situation_offsets, person_offsets, b.size, draws.shape[2]
        )
        logs = scratch.logs
        for i in range(person_offsets.size - 1):
            first, stop = person_offsets[i], person_offsets[i + 1]
            offsets = situation_offsets[first : stop + 1]
            starts = subtract_chosen(X, chosen, offsets, first, differences)
            score = scores[i]
            score[:] = 0.0
            scratch.check[:] = 0.0
            best, summed = -math.inf, 0.0
            for at in range(0, R, WIDTH):
                n = load_draws(draws[i], at, scratch.z)
                fill_coefficients(b, loadings, scratch.z, scratch.beta)
                shape_coefficients(shapes, scratch.beta, scratch.shaped)
                walk_situations(scratch, differences, starts, wanted)
                fill_logs(scratch.mantissas, scratch.exponents, n, logs)
                top = logs[:n].max()
                if top > best:
                    scale = math.exp(best - top)
                    summed *= scale
                    for p in range(score.size):
                        score[p] *= scale
                    best = top
                for r in range(WIDTH):
                    logs[r] -= best
                exponentiate(logs)
                logs[n:] = 0.0
                summed += add_draws(
                    logs,
                    scratch.slopes,
                    scratch.shaped,
                    scratch.z,
                    rows,
                    columns,
                    score,
                )
            failed = scratch.check.sum()
            log_probabilities[i] = best + math.log(summed / R) + failed
            for p in range(score.size):
                score[p] = score[p] / summed + failed

    return choices_block
