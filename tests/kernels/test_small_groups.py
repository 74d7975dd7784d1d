"""Second choices keep their digits whatever the share of what is removed.

Held against sixty digits, in which P_ijk = P_ij / P_ig (P_ik^-g - P_ik) may be written
out as a difference and slopes as differences of that:

1. all inside products together have a share of 1e-12, or of 1e-24;
2. one group has it, or all others have;
3. utilities are beyond the range of exponentials, so that all others have e^-800;
4. groups are products, lie within nests, are unions of nests, or lie across nests;
   with a product that some cannot buy, be it the best of all.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import mpmath
import numpy as np
import pytest

from blpdask.records import ChoiceFunctions
from tests.kernels.test_nests import nested
from tests.kernels.test_surveys import NONE, kernels, slopes_of  # noqa: F401

J, AGENTS, DIGITS, STEP = 6, 3, 60, mpmath.mpf(10) ** -20
NESTS = np.array([0, 1, 0, 2, 1, 2])
#: Codes of the outside option and of products.
GROUPS = {
    "products": [0, 1, 2, 3, 4, 5, 6],
    "within nests": [0, 1, 2, 3, 4, 2, 4],
    "unions of nests": [0, 1, 2, 1, 1, 2, 1],
    "across nests": [0, 1, 1, 2, 2, 2, 1],
}
LEVELS = {
    "all small": [-28, -28, -28, -28, -28, -28],
    "all tiny": [-55, -56, -55, -57, -55, -55],
    "one small": [-28, 0, 0, 0, 0, 0],
    "one large": [28, 0, 0, 0, 0, 0],
    "beyond": [800, 0, 0, 0, 0, 0],
    "beyond and behind": [800, -900, 3, -900, 0, 790],
}
RHO = {
    "plain": (),
    "nests": (0.3, 0.6, 0.45),
    "near one": (0.93, 0.9, 0.95),
    "zero": (0.0, 0.0, 0.0),
}


def example_of(level, rho, available):
    """Make one market at given utilities."""
    made = nested(
        rho=RHO[rho],
        places=(0, 1, 1) if RHO[rho] else (),
        sizes=(J,),
        agents=(AGENTS,),
        availability=available,
    )
    block = made.block
    if RHO[rho]:
        block = replace(block, nests=NESTS)
    if available:
        held = np.ones((AGENTS, J))
        held[0, 0], held[1, 3] = 0.0, 0.5
        block = replace(block, availability=held.ravel())
    delta = np.array(LEVELS[level]) + 0.3 * made.delta
    return replace(made, block=block, delta=delta)


def functions_of(groups, seed=11):
    """Six functions: products and tables, of inside products alone and of all."""
    rng = np.random.default_rng(seed)
    none, n = [NONE, NONE, NONE], 1 + J
    choices = rng.normal(size=(4, n))
    choices[0, 0] = choices[2, 0] = 0.0
    triples = rng.normal(size=(2, AGENTS, n, n))
    triples[0, :, 0] = 0.0
    return ChoiceFunctions(
        agents=rng.normal(size=(1, AGENTS)),
        choices=choices,
        tables=np.empty((0, AGENTS * n)),
        agent_terms=np.array([none] * 6),
        shapes=np.arange(6),
        choice_terms=np.array(
            [[0, -1, -1], [0, -1, -1], [1, -1, -1], none, none, [0, -1, -1]]
        ),
        table_terms=np.array([none] * 6),
        removals=np.zeros(6, np.int64),
        groups=np.array([GROUPS[groups]]),
        second_choice_terms=np.array(
            [[1, -1, -1], [2, -1, -1], [3, -1, -1], none, none, none]
        ),
        second_table_terms=np.array([none] * 6),
        pairs=np.empty((0, n * n)),
        pair_terms=np.array([none] * 6),
        triples=triples.reshape(2, -1),
        triple_terms=np.array([none, none, none, [0, -1, -1], [1, -1, -1], none]),
    )


def expand(functions):
    """Write out f ``(L, I, 1 + J, 1 + J)``."""
    n = 1 + J
    c = functions.choices
    z = functions.triples.reshape(-1, AGENTS, n, n)
    f = np.ones((functions.size, AGENTS, n, n))
    for s in range(functions.size):
        first, second = (
            functions.choice_terms[s, 0],
            functions.second_choice_terms[s, 0],
        )
        f[s] *= c[first][:, None] if first >= 0 else 1.0
        f[s] *= c[second] if second >= 0 else 1.0
        f[s] *= (
            z[functions.triple_terms[s, 0]]
            if functions.triple_terms[s, 0] >= 0
            else 1.0
        )
    return f


def probabilities(utilities, available, nests, rho, gone):
    """Compute p ``(1 + J,)`` of an agent without the choices that are gone."""
    inclusive = {}
    terms = [mpmath.mpf(0)] * J
    for j in range(J):
        if not gone[1 + j] and available[j] > 0:
            terms[j] = available[j] * mpmath.exp(utilities[j] / (1 - rho[nests[j]]))
            inclusive[nests[j]] = inclusive.get(nests[j], 0) + terms[j]
    worth = {h: mpmath.exp((1 - rho[h]) * mpmath.log(v)) for h, v in inclusive.items()}
    outside = mpmath.mpf(0 if gone[0] else 1)
    total = outside + sum(worth.values())
    inside = [
        terms[j] / inclusive[nests[j]] * worth[nests[j]] / total if terms[j] > 0 else 0
        for j in range(J)
    ]
    return [outside / total, *inside]


def expected(example, functions, D, p=None, h=0):
    """E ``(L,)`` in many digits, θ_p moved by h along δ(θ)."""
    block, tastes = example.block, example.tastes
    loadings = mpmath.matrix(tastes.loadings.tolist())
    rho = [mpmath.mpf(r) for r in tastes.rho] or [mpmath.mpf(0)]
    delta = [mpmath.mpf(d) for d in example.delta]
    if p is not None:
        delta = [d + h * mpmath.mpf(D[j, p]) for j, d in enumerate(delta)]
        if p < tastes.rows.size:
            loadings[int(tastes.rows[p]), int(tastes.columns[p])] += h
        else:
            free = tastes.rho_places == p - tastes.rows.size
            rho = [r + h if own else r for r, own in zip(rho, free, strict=True)]
    nests = block.nests if block.nests is not None else np.zeros(J, np.int64)
    available = np.ones((AGENTS, J))
    if block.availability is not None:
        available = block.availability.reshape(AGENTS, J)
    f, codes = expand(functions), functions.groups[0]
    E = [mpmath.mpf(0)] * functions.size
    for i in range(AGENTS):
        c = loadings * mpmath.matrix(block.draws[i].tolist())
        V = [
            delta[j] + sum(c[k] * block.X2[k, j] for k in range(len(block.X2)))
            for j in range(J)
        ]
        own = probabilities(V, available[i], nests, rho, np.zeros(1 + J, bool))
        for g in np.unique(codes):
            gone = codes == g
            left = probabilities(V, available[i], nests, rho, gone)
            share = sum(own[j] for j in np.flatnonzero(gone))
            if share == 0:
                continue
            for j in np.flatnonzero(gone):
                weight = block.weights[i] * own[j] / share
                for k in np.flatnonzero(~gone):
                    moved = weight * (left[k] - own[k])
                    for s in range(functions.size):
                        E[s] += moved * f[s, i, j, k]
    return E


@cache
def in_many_digits(groups, level, rho, available):
    """Compute E ``(L,)`` and ∂E/∂θ ``(L, P)``."""
    example, functions = example_of(level, rho, available), functions_of(groups)
    D, slopes = slopes_of(example), []
    with mpmath.workdps(DIGITS):
        E = [float(e) for e in expected(example, functions, D)]
        for p in range(example.tastes.size):
            up = expected(example, functions, D, p, STEP)
            down = expected(example, functions, D, p, -STEP)
            both = zip(up, down, strict=True)
            slopes.append([float((a - b) / (2 * STEP)) for a, b in both])
    return np.array(E), np.array(slopes).T


@pytest.mark.parametrize("available", [False, True])
@pytest.mark.parametrize("rho", RHO)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("groups", GROUPS)
def test_digits_do_not_depend_on_shares(kernels, groups, level, rho, available):  # noqa: F811
    """A slope is right to 1e-10, or as far as f is where it all but cancels."""
    example, functions = example_of(level, rho, available), functions_of(groups)
    found, by_theta = kernels.expectations(
        example.block,
        example.tastes,
        functions,
        example.delta,
        slopes_of(example),
        True,
    )
    E, slopes = in_many_digits(groups, level, rho, available)
    np.testing.assert_allclose(found, E, rtol=1e-10)
    stretch = 1 / (1 - max(RHO[rho], default=0.0))
    allowed = 1e-10 * np.abs(slopes).max(axis=1) + 1e-15 * stretch * np.abs(E)
    assert (np.abs(by_theta - slopes).max(axis=1) <= allowed).all()
