"""Probabilities of situations' alternatives, and what follows from them, in loops.

With β_r of weights w_r that sum to one, e_jr = e^{(x_j - x_1)'β_r}, P_jr = e_jr / Σ_k
e_kr and a_kr = ∂x_k'β_r/∂v_k the slope of utility in a variable v,

    P_j = Σ_r w_r P_jr,
    ∂P_j/∂v_k = -Σ_r w_r P_jr P_kr a_kr  (j ≠ k),   ∂P_k/∂v_k = -Σ_{j≠k} ∂P_j/∂v_k,
    P_k(-j) - P_k = Σ_r w_r P_jr P_kr / Σ_{l≠j} P_lr,
    CS = Σ_r w_r / -α_r log Σ_j e^{x_j'β_r},   α_r = a_1r by prices

(Train 2009, 2.5 and 3.5; Conlon and Mortimer 2021). Probabilities of all others are
added up where 1 - P_jr would lose digits. Draws are worked on 32 at a time, as by
:mod:`blpdask.kernels.loop_choices`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .loop_compiler import exact, reorder
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import exponentiate, largest
from .loop_situations import LARGE_UTILITY, WIDTH, fill_utilities

#: Probabilities of all others below which those are compared among themselves.
_SMALL = 1e-200
#: What is asked: codes of :data:`blpdask.kernels.choice_answers.QUESTIONS`.
_SLOPES, _REMOVALS, _SURPLUSES = 1, 2, 3


def compiled_answers() -> Callable[..., Any]:
    """Give the loop over people."""
    return _compiled_answers(fingerprint_of_loops())


@exact
def subtract_first(X, offsets, differences):
    """Fill what alternatives of a person differ by from their situation's first."""
    for t in range(offsets.size - 1):
        for n in range(offsets[t], offsets[t + 1]):
            for k in range(X.shape[1]):
                differences[n - offsets[0], k] = X[n, k] - X[offsets[t], k]


@exact
def load_coefficients(own, own_weights, first, beta, weights):
    """Fill β ``(K, WIDTH)`` from draw ``first`` on; beyond the last it weighs none."""
    last = own.shape[0] - 1
    for r in range(WIDTH):
        at = min(first + r, last)
        weights[r] = own_weights[at] if first + r <= last else 0.0
        for k in range(beta.shape[0]):
            beta[k, r] = own[at, k]


@exact
def fill_odds(differences, beta, U, highest, total):
    """Fill e ``(J, WIDTH)`` over e^highest, and their sums, of one situation."""
    J = differences.shape[0]
    highest[:] = 0.0
    U[0] = 1.0
    if J > 1:
        fill_utilities(differences[1:], beta, U[1:J], highest)
        if largest(highest) > LARGE_UTILITY:
            for r in range(WIDTH):
                U[0, r] = math.exp(-highest[r])
                for n in range(1, J):
                    U[n, r] -= highest[r]
        else:
            highest[:] = 0.0
        exponentiate(U[1:J].reshape((J - 1) * WIDTH))
    total[:] = 0.0
    for n in range(J):
        for r in range(WIDTH):
            total[r] += U[n, r]


@exact
def add_surplus(x, slope, beta, weights, highest, total):
    """Compute Σ_r w_r / -α_r log Σ_j e^{V_j}: NaN where some α is not negative."""
    found = 0.0
    for r in range(WIDTH):
        if weights[r] != 0.0:
            V, alpha = 0.0, 0.0
            for k in range(x.size):
                V += x[k] * beta[k, r]
                alpha += slope[k] * beta[k, r]
            if alpha < 0.0:
                found -= weights[r] * (V + highest[r] + math.log(total[r])) / alpha
            else:
                found = math.nan
    return found


@reorder
def add_probabilities(U, total, weights, found):
    """Overwrite odds by P, and add Σ_r w_r P_jr to ``found`` ``(J,)``."""
    for r in range(WIDTH):
        total[r] = 1.0 / total[r]
    for n in range(U.shape[0]):
        e = U[n]
        added = 0.0
        for r in range(WIDTH):
            e[r] *= total[r]
            added += weights[r] * e[r]
        found[n] += added


@reorder
def add_slopes(P, A, weights, pairs):
    """Add -Σ_r w_r P_jr P_kr a_kr, j ≠ k, to ``pairs`` ``(J, J)``; overwrite a."""
    J = P.shape[0]
    for k in range(J):
        a, own = A[k], P[k]
        for r in range(WIDTH):
            a[r] *= weights[r] * own[r]
        for j in range(J):
            if j != k:
                p = P[j]
                added = 0.0
                for r in range(WIDTH):
                    added += p[r] * a[r]
                pairs[j, k] -= added


@exact
def fill_own_slopes(pairs):
    """Fill what makes slopes by each k, columns of ``(J, J)``, add up to zero."""
    for k in range(pairs.shape[0]):
        others = 0.0
        for j in range(pairs.shape[0]):
            if j != k:
                others += pairs[j, k]
        pairs[k, k] = -others


@exact
def add_removals(P, differences, beta, weights, rest, pairs):
    """Add Σ_r w_r P_jr P_kr / Σ_{l≠j} P_lr to ``pairs`` ``(J, J)``."""
    for j in range(P.shape[0]):
        rest[:] = 0.0
        for k in range(P.shape[0]):
            if k != j:
                for r in range(WIDTH):
                    rest[r] += P[k, r]
        for r in range(WIDTH):
            lost = weights[r] * P[j, r]
            if rest[r] < _SMALL:
                add_left(differences, beta, r, j, lost, pairs[j])
                rest[r] = 0.0
            else:
                rest[r] = lost / rest[r]
        add_divided(P, rest, j, pairs[j])


@reorder
def add_divided(P, lost, j, gains):
    """Add Σ_r lost_r P_kr, k ≠ j, to ``gains`` ``(J,)``."""
    for k in range(P.shape[0]):
        if k != j:
            p = P[k]
            added = 0.0
            for r in range(WIDTH):
                added += lost[r] * p[r]
            gains[k] += added


@exact
def add_left(differences, beta, r, j, lost, gains):
    """Divide what j loses at one draw among others that are all very unlikely."""
    J = differences.shape[0]
    if J == 1:
        return
    U = np.empty(J)
    highest, total = -math.inf, 0.0
    for k in range(J):
        U[k] = 0.0
        for c in range(beta.shape[0]):
            U[k] += differences[k, c] * beta[c, r]
        if k != j:
            highest = max(highest, U[k])
    for k in range(J):
        U[k] = math.exp(U[k] - highest)
        total += U[k] if k != j else 0.0
    for k in range(J):
        if k != j:
            gains[k] += lost * U[k] / total


@functools.cache
def _compiled_answers(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over people."""

    @kept(fills=3)
    def answers_block(
        X,
        situation_offsets,
        person_offsets,
        beta,
        draw_weights,
        slopes,
        pair_offsets,
        questions,
        probabilities,
        pairs,
        surpluses,
    ):
        """Add up what is asked of every situation of a block; all begins with zeros."""
        _ = fingerprint
        question, K, R = questions[0], X.shape[1], beta.shape[1]
        people = situation_offsets[person_offsets]
        J = max(1, np.diff(situation_offsets).max())
        all_differences = np.empty((np.diff(people).max(), K))
        U, A = np.empty((J, WIDTH)), np.empty((J, WIDTH))
        coefficients, weights = np.empty((K, WIDTH)), np.empty(WIDTH)
        highest, total = np.empty(WIDTH), np.empty(WIDTH)
        for i in range(person_offsets.size - 1):
            first, stop = person_offsets[i], person_offsets[i + 1]
            if first == stop:
                continue
            offsets = situation_offsets[first : stop + 1]
            subtract_first(X, offsets, all_differences)
            own = beta[i % beta.shape[0]]
            own_weights = draw_weights[i % draw_weights.shape[0]]
            for at in range(0, R, WIDTH):
                load_coefficients(own, own_weights, at, coefficients, weights)
                for s in range(first, stop):
                    begin, end = situation_offsets[s], situation_offsets[s + 1]
                    differences = all_differences[begin - people[i] : end - people[i]]
                    P = U[: end - begin]
                    fill_odds(differences, coefficients, P, highest, total)
                    if question == _SURPLUSES:
                        surpluses[s] += add_surplus(
                            X[begin],
                            slopes[begin],
                            coefficients,
                            weights,
                            highest,
                            total,
                        )
                    add_probabilities(P, total, weights, probabilities[begin:end])
                    square = pairs[pair_offsets[s] : pair_offsets[s + 1]]
                    if question == _SLOPES:
                        a = A[: end - begin]
                        fill_utilities(slopes[begin:end], coefficients, a, highest)
                        add_slopes(
                            P, a, weights, square.reshape((end - begin, end - begin))
                        )
                    elif question == _REMOVALS:
                        add_removals(
                            P,
                            differences,
                            coefficients,
                            weights,
                            total,
                            square.reshape((end - begin, end - begin)),
                        )
        if question == _SLOPES:
            for s in range(situation_offsets.size - 1):
                n = situation_offsets[s + 1] - situation_offsets[s]
                square = pairs[pair_offsets[s] : pair_offsets[s + 1]]
                fill_own_slopes(square.reshape((n, n)))

    return answers_block
