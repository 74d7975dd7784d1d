"""Expectations of functions of agents and choices, in compiled loops.

Equations are in :mod:`blpdask.kernels.contract`. Functions that differ by a factor of
agents alone have one shape f, of which a tile of agents gives E_i and, in terms of
stretched utilities u_ij = t_h dV_ij,

    dE_i = Σ_j B_ij u_ij,   B_ij = P_ij (f_ij - (1 - ρ_h) E_i) - ρ_h Q_ij F_ih,
    F_ih = Σ_{j∈h} P_ij f_ij,

and, by ρ_g at given utilities,

    t_g (Σ_{j∈g} P_ij f_ij log Q_ij + ρ_g E_ig F_ig) + M_ig E_ig E_i,

with E_ig the entropy of nest g; first and second choices are those of
:mod:`blpdask.kernels.loop_second_choices`. Weighted by w_i Π_r a_ir and summed over
agents they make ∂E/∂δ, J numbers a function, and what comes of tastes: nothing is as
large as parameters times agents times products.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..records import (
    ChoiceFunctions,
    Floats,
    Integers,
    InversionControls,
    MarketBlock,
    Tastes,
)
from .loop_block import loop_block, loop_tastes
from .loop_choice_functions import fill_shape
from .loop_compiler import exact, reorder
from .loop_curvature import taste_slopes
from .loop_kept import fingerprint_of_loops, kept
from .loop_market import (
    fill_exponentials,
    move_reference,
    prepare_market,
    rows_held,
)
from .loop_nests import add_nested_adjoint, log_conditionals
from .loop_pricing import DIFFERENTIATED_ROWS, fill_outside, fill_probabilities
from .loop_product_draws import product_slopes
from .loop_second_choices import fill_second_choices


class LoopFunctions(NamedTuple):
    """Arrays of :class:`blpdask.records.ChoiceFunctions`, where markets' tables start.

    ``members`` (L,) lists functions shape by shape, from ``member_offsets`` (S + 1,).
    """

    agents: Floats
    choices: Floats
    tables: Floats
    agent_terms: Integers
    choice_terms: Integers
    table_terms: Integers
    members: Integers
    member_offsets: Integers
    table_offsets: Integers
    removals: Integers
    groups: Integers
    second_terms: Integers
    second_table_terms: Integers
    pairs: Floats
    pair_terms: Integers
    pair_offsets: Integers
    triples: Floats
    triple_terms: Integers
    triple_offsets: Integers


def expectations(
    block: MarketBlock,
    tastes: Tastes,
    functions: ChoiceFunctions,
    delta: Floats,
    delta_by_theta: Floats,
    derivatives: bool,
) -> tuple[Floats, Floats]:
    """Compute E ``(L,)`` of functions and, along δ(θ), ∂E/∂θ ``(L, P)``.

    Parameters
    ----------
    block, tastes, functions
        The markets, θ and the functions.
    delta, delta_by_theta
        ``(N,)`` and ``(N, P)`` of the inversion at θ.
    derivatives
        Whether derivatives are wanted; ``(L, 0)`` where not.
    """
    n_parameters = tastes.size if derivatives else 0
    sums = np.zeros(functions.size)
    by_theta = np.zeros((functions.size, n_parameters))
    _compiled_expectations(fingerprint_of_loops())(
        loop_block(block),
        loop_tastes(tastes, derivatives=derivatives),
        _loop_functions(block, functions),
        np.ascontiguousarray(delta),
        np.ascontiguousarray(delta_by_theta[:, :n_parameters]),
        rows_held(block, InversionControls().scratch_bytes),
        sums,
        by_theta,
    )
    return sums, by_theta


def _loop_functions(block: MarketBlock, functions: ChoiceFunctions) -> LoopFunctions:
    """Arrange functions for compiled loops."""
    members = np.argsort(functions.shapes, kind="stable")
    n_shapes = functions.choice_terms.shape[0]
    counts = np.bincount(functions.shapes, minlength=n_shapes)
    choices, people = np.diff(block.product_offsets) + 1, np.diff(block.agent_offsets)
    first_only = functions.removals.size == 0
    return LoopFunctions(
        functions.agents,
        functions.choices,
        functions.tables,
        functions.agent_terms,
        functions.choice_terms,
        functions.table_terms,
        members,
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([[0], np.cumsum(choices * people)]),
        np.full(n_shapes, -1) if first_only else functions.removals,
        functions.groups,
        functions.second_choice_terms,
        functions.second_table_terms,
        functions.pairs,
        functions.pair_terms,
        np.concatenate([[0], np.cumsum(choices**2)]),
        functions.triples,
        functions.triple_terms,
        np.concatenate([[0], np.cumsum(choices**2 * people)]),
    )


@exact
def weigh_agents(functions, el, first_agent, weights, weighed):
    """Fill w_i Π_r a_ir ``(n,)`` of function l."""
    for i in range(weights.size):
        weighed[i] = weights[i]
    for r in range(functions.agent_terms.shape[1]):
        term = functions.agent_terms[el, r]
        if term >= 0:
            for i in range(weights.size):
                weighed[i] *= functions.agents[term, first_agent + i]


@reorder
def average(P, P0, f, means):
    """Fill E_i = Σ_{j=0..J} P_ij f_ij ``(n,)``."""
    for i in range(P.shape[0]):
        found = P0[i] * f[i, 0]
        for j in range(P.shape[1]):
            found += P[i, j] * f[i, 1 + j]
        means[i] = found


@reorder
def fill_adjoints(P, f, means, B):
    """Fill B_ij = P_ij (f_ij - E_i) ``(n, J)``."""
    for i in range(P.shape[0]):
        for j in range(P.shape[1]):
            B[i, j] = P[i, j] * (f[i, 1 + j] - means[i])


@exact
def fill_nested_adjoints(market, begin, P, Q, M, f, means, B, by_rho):
    """Fill B ``(n, J)`` and add slopes by ρ at given utilities to ``by_rho`` (n, R)."""
    offsets, rho, places = market.nest_offsets, market.nests[0], market.nests[2]
    logs, available = np.empty(P.shape[1]), np.empty(0)
    weighted = np.empty(P.shape[1])
    B[:] = 0.0
    for i in range(P.shape[0]):
        if by_rho.shape[1] > 0:
            if market.availability.size > 0:
                available = market.availability[begin + i]
            log_conditionals(Q[i], available, logs)
        for j in range(weighted.size):
            weighted[j] = P[i, j] * f[i, 1 + j]
        add_nested_adjoint(
            P[i],
            Q[i],
            M[i],
            weighted,
            means[i],
            offsets,
            rho,
            places,
            logs,
            B[i],
            by_rho[i],
        )


@exact
def fill_taste_slopes(market, tastes, begin, v, B, by_theta):
    """Fill Σ_j B_ij v_ijp x_jk ``(n, P)``; ``v`` (n, P) holds v_ip."""
    X, n_tastes = market.characteristics, tastes.rows.size
    if market.product_draws.shape[0] == 0:
        Z = np.dot(B, X.T)
        for i in range(B.shape[0]):
            for p in range(n_tastes):
                by_theta[i, p] = v[i, p] * Z[i, tastes.rows[p]]
        return
    slopes = np.empty(B.shape)
    for p in range(n_tastes):
        product_slopes(market, begin, tastes.rows[p], tastes.columns[p], slopes)
        for i in range(B.shape[0]):
            found = 0.0
            for j in range(B.shape[1]):
                found += B[i, j] * slopes[i, j] * X[tastes.rows[p], j]
            by_theta[i, p] = found


@reorder
def add_weighted_rows(weighed, rows, sums):
    """Add Σ_i w_i rows_i to ``sums``."""
    for i in range(weighed.size):
        for j in range(sums.size):
            sums[j] += weighed[i] * rows[i, j]


@reorder
def dot(x, y):
    """Compute Σ_i x_i y_i."""
    found = 0.0
    for i in range(x.size):
        found += x[i] * y[i]
    return found


@functools.cache
def _compiled_expectations(fingerprint: str) -> Callable[..., Any]:
    """Compile the loop over markets that computes expectations."""

    @kept(fills=2)
    def expectations_block(
        block, tastes, functions, delta, delta_by_theta, rows_held, sums, by_theta
    ):
        """Add every market's expectations to ``sums`` and their slopes."""
        _ = fingerprint
        n_parameters, n_shapes = by_theta.shape[1], functions.member_offsets.size - 1
        types = tastes.types.copy()
        rows, columns = tastes.rows.copy(), tastes.columns.copy()
        n_tastes = rows.size
        for t in range(block.product_offsets.size - 1):
            a, b = block.product_offsets[t], block.product_offsets[t + 1]
            n = b - a
            market, order = prepare_market(t, block, tastes, rows_held)
            move_reference(market, delta[a:b][order])
            n_agents, held = market.weights.size, market.E.shape[0]
            chunk = min(DIFFERENTIATED_ROWS, n_agents)
            Ps, Qs, Bs = (
                np.empty((chunk, n)),
                np.empty((chunk, n)),
                np.empty((chunk, n)),
            )
            Ms, fs = np.empty((chunk, market.nests.shape[1])), np.empty((chunk, n + 1))
            vs, ys = np.empty((chunk, n_tastes)), np.empty((chunk, n_parameters))
            P0s, means, weighed = np.empty(chunk), np.empty(chunk), np.empty(chunk)
            by_delta = np.zeros((by_theta.shape[0] if n_parameters > 0 else 0, n))
            for first in range(0, n_agents, held):
                stop = min(first + held, n_agents)
                if held < n_agents:
                    fill_exponentials(market, first, stop)
                for begin in range(first, stop, chunk):
                    end = min(begin + chunk, stop)
                    size = end - begin
                    P, Q, M, f = Ps[:size], Qs[:size], Ms[:size], fs[:size]
                    B, v, y, E = Bs[:size], vs[:size], ys[:size], means[:size]
                    P0 = P0s[:size]
                    fill_probabilities(market, begin - first, P, Q, M)
                    fill_outside(market, begin - first, M, P0)
                    if n_parameters > 0:
                        c, draws = market.coefficients, market.draws
                        taste_slopes(
                            draws[begin:end],
                            c[begin:end],
                            types,
                            rows,
                            columns,
                            v,
                        )
                    for s in range(n_shapes):
                        y[:] = 0.0
                        if functions.removals[s] >= 0:
                            fill_second_choices(
                                functions,
                                s,
                                t,
                                a,
                                order,
                                market,
                                begin,
                                begin - first,
                                P,
                                P0,
                                E,
                                B,
                                y[:, n_tastes:],
                            )
                        else:
                            fill_shape(functions, s, t, a, order, begin, f)
                            average(P, P0, f, E)
                        if n_parameters > 0 and functions.removals[s] < 0:
                            if market.nests.shape[1] > 0:
                                fill_nested_adjoints(
                                    market, begin, P, Q, M, f, E, B, y[:, n_tastes:]
                                )
                            else:
                                fill_adjoints(P, f, E, B)
                        if n_parameters > 0:
                            fill_taste_slopes(market, tastes, begin, v, B, y)
                        places = functions.member_offsets
                        for place in range(places[s], places[s + 1]):
                            el = functions.members[place]
                            wa = weighed[:size]
                            agent = block.agent_offsets[t] + begin
                            w = market.weights[begin:end]
                            weigh_agents(functions, el, agent, w, wa)
                            sums[el] += dot(wa, E)
                            if n_parameters > 0:
                                add_weighted_rows(wa, y, by_theta[el])
                                add_weighted_rows(wa, B, by_delta[el])
            for el in range(by_delta.shape[0]):
                for j in range(n):
                    moved = market.stretch[j] * by_delta[el, j]
                    for p in range(n_parameters):
                        by_theta[el, p] += moved * delta_by_theta[a + order[j], p]

    return expectations_block
