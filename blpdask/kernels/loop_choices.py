"""Simulated probabilities of what people chose, and their derivatives, in loops.

With differences x̃_jt = x_jt - x_ct to the alternative c that i chose in situation t,

    P_it(β) = 1 / (1 + Σ_{j≠c} e^{x̃_jt'β}),   log p_ir = Σ_t log P_it(β_ir),
    P_i = Σ_r w_r p_ir / R,   ∂log P_i/∂β_ir = -ω_ir Σ_t Σ_{j≠c} P_ijt x̃_jt,

where ω_ir = w_r p_ir / Σ_s w_s p_is (Train 2009, 6.4 and 8.3). Draws are
worked on 32 at a time (:mod:`blpdask.kernels.loop_situations`); sums over draws are
relative to the largest log(w_r p_ir) so far (log-sum-exp). Memory does not grow with R.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes, PersonLikelihoods
from .array_choices import empty_likelihoods, person_means
from .loop_compiler import exact, reorder
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import exponentiate
from .loop_situations import WIDTH, make_scratch, walk_situations
from .loop_truncated import truncate_normal

_LOG2 = math.log(2.0)


def choice_probabilities(
    block: ChoiceBlock,
    tastes: MixedTastes,
    *,
    derivatives: bool,
    squares: bool,
    by_draw: bool,
) -> PersonLikelihoods:
    """Compute log P_i and derivatives by b and Λ's entries, ``(I, K + E)``."""
    width = tastes.b.size + tastes.rows.size
    found = empty_likelihoods(
        block, width if derivatives else 0, squares=squares, by_draw=by_draw
    )
    _compiled_choices(fingerprint_of_loops())(
        block.X,
        block.chosen,
        block.situation_offsets,
        block.person_offsets,
        block.draws,
        block.log_weights,
        person_means(block, tastes),
        tastes.loadings,
        tastes.shapes,
        tastes.rows,
        tastes.columns,
        np.array([tastes.scale]),
        found.logs,
        found.scores,
        found.concentrations,
        found.squared_scores,
        found.draw_logs,
    )
    return found


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
def shape_coefficients(shapes, b, loadings, rows, columns, z, beta, slopes):
    """Overwrite η by h(η) and fill h'(η), ``(K, WIDTH)``; below, ∂h/∂s of truncated."""
    K = shapes.size
    for k in range(K):
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
        elif shapes[k] == 4:
            column = own_column(rows, columns, k)
            for r in range(WIDTH):
                beta[k, r], slopes[k, r], slopes[K + k, r] = truncate_normal(
                    b[k], loadings[k, column], z[column, r]
                )


@exact
def own_column(rows, columns, k):
    """Find the column of loadings in which a coefficient's own spread stands."""
    for e in range(rows.size):
        if rows[e] == k:
            return columns[e]
    return 0


@exact
def scale_coefficients(scale, beta, plain):
    """Multiply β ``(K, WIDTH)`` by the one that scales, and keep what they were."""
    plain[:] = beta
    for k in range(beta.shape[0]):
        if k != scale:
            for r in range(WIDTH):
                beta[k, r] *= plain[scale, r]


@exact
def unscale_slopes(scale, plain, slopes):
    """Turn ∂log p/∂β into derivatives by what β was before it was scaled."""
    for k in range(plain.shape[0]):
        if k != scale:
            for r in range(WIDTH):
                slopes[scale, r] += slopes[k, r] * plain[k, r]
                slopes[k, r] *= plain[scale, r]


@exact
def copy_truncated(shapes, slopes):
    """Copy slopes of truncated coefficients to where those by their spreads are."""
    K = shapes.size
    for k in range(K):
        if shapes[k] == 4:
            slopes[K + k] = slopes[k]


@exact
def add_weights(log_weights, first, n, logs):
    """Add log weights of n draws from ``first`` on."""
    for r in range(n):
        logs[r] += log_weights[first + r]


@exact
def fill_logs(mantissas, exponents, n, logs):
    """Subtract log Π_t 1 / P_it from ``logs``; beyond n draws they are -inf."""
    for r in range(n):
        logs[r] -= math.log(mantissas[r]) + _LOG2 * exponents[r]
    logs[n:] = -math.inf


@reorder
def add_draws(omega, slopes, shaped, shapes, z, rows, columns, score):
    """Add Σ_r ω_r ∂log p_r/∂(b, Λ) to ``score``, and leave its terms in ``slopes``."""
    K = shapes.size
    if score.size == 0:
        return
    for k in range(K):
        g, h = slopes[k], shaped[k]
        added = 0.0
        for r in range(WIDTH):
            g[r] *= omega[r] * h[r]
            added += g[r]
        score[k] += added
        if shapes[k] == 4:
            g, h = slopes[K + k], shaped[K + k]
            for r in range(WIDTH):
                g[r] *= omega[r] * h[r]
    for e in range(rows.size):
        added = 0.0
        if shapes[rows[e]] == 4:
            g = slopes[K + rows[e]]
            for r in range(WIDTH):
                added += g[r]
        else:
            g, of = slopes[rows[e]], z[columns[e]]
            for r in range(WIDTH):
                added += g[r] * of[r]
        score[K + e] += added


@reorder
def add_squares(omega, slopes, shapes, z, rows, columns, score):
    """Add Σ_r ω_r² ∂log p_r/∂(b, Λ) to ``score``: ω_r times what ``slopes`` hold."""
    K = shapes.size
    for k in range(K):
        g = slopes[k]
        added = 0.0
        for r in range(WIDTH):
            added += g[r] * omega[r]
        score[k] += added
    for e in range(rows.size):
        added = 0.0
        if shapes[rows[e]] == 4:
            g = slopes[K + rows[e]]
            for r in range(WIDTH):
                added += g[r] * omega[r]
        else:
            g, of = slopes[rows[e]], z[columns[e]]
            for r in range(WIDTH):
                added += g[r] * of[r] * omega[r]
        score[K + e] += added


@reorder
def sum_draws(omega):
    """Compute Σ_r ω_r and Σ_r ω_r²."""
    total, squared = 0.0, 0.0
    for r in range(WIDTH):
        total += omega[r]
        squared += omega[r] * omega[r]
    return total, squared


@functools.cache
def _compiled_choices(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over people."""

    @kept(fills=5)
    def choices_block(
        X,
        chosen,
        situation_offsets,
        person_offsets,
        draws,
        log_weights,
        means,
        loadings,
        shapes,
        rows,
        columns,
        scales,
        log_probabilities,
        scores,
        concentrations,
        squared_scores,
        draw_logs,
    ):
        """Fill log P_i and its derivatives of every person of a block."""
        _ = fingerprint
        R, wanted = draws.shape[1], scores.shape[1] > 0
        scaled, truncated = scales[0] >= 0, (shapes == 4).any()
        weighted, kept_draws = log_weights.shape[0] > 0, draw_logs.shape[1] > 0
        scratch, differences = make_scratch(
            situation_offsets,
            person_offsets,
            X.shape[1],
            shapes.size,
            draws.shape[2],
        )
        logs = scratch.logs
        for i in range(person_offsets.size - 1):
            first, stop = person_offsets[i], person_offsets[i + 1]
            offsets = situation_offsets[first : stop + 1]
            starts = subtract_chosen(X, chosen, offsets, first, differences)
            b, own = means[i % means.shape[0]], draws[i % draws.shape[0]]
            score, squared_score = scores[i], squared_scores[i]
            score[:] = 0.0
            squared_score[:] = 0.0
            scratch.check[:] = 0.0
            best, summed, squared = -math.inf, 0.0, 0.0
            for at in range(0, R, WIDTH):
                n = load_draws(own, at, scratch.z)
                fill_coefficients(b, loadings, scratch.z, scratch.beta)
                shape_coefficients(
                    shapes,
                    b,
                    loadings,
                    rows,
                    columns,
                    scratch.z,
                    scratch.beta,
                    scratch.shaped,
                )
                if scaled:
                    scale_coefficients(scales[0], scratch.beta, scratch.plain)
                walk_situations(scratch, differences, starts, wanted)
                fill_logs(scratch.mantissas, scratch.exponents, n, logs)
                if weighted:
                    add_weights(log_weights[i % log_weights.shape[0]], at, n, logs)
                if kept_draws:
                    draw_logs[i, at : at + n] = logs[:n]
                top = logs[:n].max()
                if top > best:
                    scale = math.exp(best - top)
                    summed *= scale
                    squared *= scale * scale
                    for p in range(score.size):
                        score[p] *= scale
                    for p in range(squared_score.size):
                        squared_score[p] *= scale * scale
                    best = top
                for r in range(WIDTH):
                    logs[r] -= best
                exponentiate(logs)
                logs[n:] = 0.0
                added, added_squared = sum_draws(logs)
                summed += added
                squared += added_squared
                if not wanted:
                    continue
                if scaled:
                    unscale_slopes(scales[0], scratch.plain, scratch.slopes)
                if truncated:
                    copy_truncated(shapes, scratch.slopes)
                add_draws(
                    logs,
                    scratch.slopes,
                    scratch.shaped,
                    shapes,
                    scratch.z,
                    rows,
                    columns,
                    score,
                )
                if squared_score.size > 0:
                    add_squares(
                        logs,
                        scratch.slopes,
                        shapes,
                        scratch.z,
                        rows,
                        columns,
                        squared_score,
                    )
            failed = scratch.check.sum()
            log_probabilities[i] = best + math.log(summed / R) + failed
            concentrations[i] = squared / (summed * summed)
            for p in range(score.size):
                score[p] = score[p] / summed + failed
            for p in range(squared_score.size):
                squared_score[p] = squared_score[p] / (summed * summed) + failed

    return choices_block
