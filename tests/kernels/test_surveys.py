"""Expectations of functions of agents and choices, in every backend.

What must hold, whatever the backend:

1. E_l is Σ_i w_i Σ_j P_ij f_l(i, j), written out, the outside option first.
2. ∂E/∂θ along any ∂δ/∂θ is its finite difference.
3. A function of nothing is the total weight, and does not move.
4. Of first and second choices, likewise, with P_ijk from probabilities that are
   computed again with the first choice's group gone.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from blpdask.kernels import array_logit, array_surveys, loop_backend
from blpdask.records import ChoiceFunctions
from tests.kernels.strict_device import StrictDevice
from tests.kernels.test_nests import CASES, differentiate, moved, nested, probabilities

NONE = -1


@pytest.fixture(
    params=["loop", "array", "strict", pytest.param("cupy", marks=pytest.mark.gpu)]
)
def kernels(request):
    if request.param == "loop":
        return loop_backend
    xp = {"array": np, "strict": StrictDevice()}.get(request.param)
    if xp is None:
        xp = pytest.importorskip("cupy")

    def expectations(block, *arguments):
        prepared = array_logit.prepare(block, xp)
        return array_surveys.expectations(prepared, block, *arguments)

    return SimpleNamespace(expectations=expectations)


@pytest.fixture(params=["plain", *CASES])
def example(request):
    if request.param == "plain":
        return nested(rho=(), places=())
    return nested(**CASES[request.param])


def functions_of(block, seed=3):
    """Eight functions of four shapes, with up to three terms of each kind."""
    rng = np.random.default_rng(seed)
    T, N, A = block.n_markets, block.n_products, block.weights.size
    V = int((np.diff(block.product_offsets) * np.diff(block.agent_offsets)).sum())
    none = [NONE, NONE, NONE]
    return ChoiceFunctions(
        agents=rng.normal(size=(3, A)),
        choices=rng.normal(size=(3, N + T)),
        tables=rng.normal(size=(2, V + A)),
        agent_terms=np.array(
            [none, [0, -1, -1], none, [1, -1, 2], [0, 1, 2], none, [2, -1, -1], none]
        ),
        shapes=np.array([0, 0, 1, 1, 2, 3, 3, 4]),
        choice_terms=np.array([[0, -1, -1], [1, 2, 0], none, [NONE, 2, NONE], none]),
        table_terms=np.array([none, none, [0, 1, NONE], [NONE, NONE, 1], none]),
    )


def expected(block, tastes, delta, functions):
    """E ``(L,)``, one agent and one choice at a time."""
    E = np.zeros(functions.size)
    place = 0
    for t in range(block.n_markets):
        a, b = block.product_offsets[t : t + 2]
        c, d = block.agent_offsets[t : t + 2]
        J, first = b - a, a + t
        P = probabilities(block, tastes, delta, t)
        for i in range(d - c):
            p = np.concatenate([[1 - P[i].sum()], P[i]])
            for el, s in enumerate(functions.shapes):
                f = np.ones(J + 1)
                for term in functions.choice_terms[s]:
                    if term >= 0:
                        f = f * functions.choices[term, first : first + J + 1]
                for term in functions.table_terms[s]:
                    if term >= 0:
                        f = f * functions.tables[term, place : place + J + 1]
                for term in functions.agent_terms[el]:
                    if term >= 0:
                        f = f * functions.agents[term, c + i]
                E[el] += block.weights[c + i] * (p @ f)
            place += J + 1
    return E


def slopes_of(example, seed=7):
    """Any ∂δ/∂θ ``(N, P)``."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(example.block.n_products, example.tastes.size))


def test_expectations_are_those_written_out(kernels, example):
    functions = functions_of(example.block)
    arguments = example.block, example.tastes, functions, example.delta
    found, none = kernels.expectations(*arguments, slopes_of(example), False)
    E = expected(example.block, example.tastes, example.delta, functions)
    assert none.shape == (functions.size, 0)
    np.testing.assert_allclose(found, E, rtol=1e-11, atol=1e-12)


def test_slopes_are_finite_differences(kernels, example):
    block, tastes, D = example.block, example.tastes, slopes_of(example)
    functions = functions_of(block)
    arguments = block, tastes, functions, example.delta
    found, by_theta = kernels.expectations(*arguments, D, True)
    assert by_theta.shape == (functions.size, tastes.size)
    for p in range(tastes.size):

        def E(h, p=p):
            at = moved(tastes, p, h)
            return expected(block, at, example.delta + h * D[:, p], functions)

        slopes = differentiate(E, 1e-4)
        scale = 1 + np.abs(slopes).max()
        np.testing.assert_allclose(
            by_theta[:, p], slopes, rtol=0, atol=2e-9 * scale, err_msg=str(p)
        )
    np.testing.assert_allclose(found[-1], block.weights.sum(), rtol=1e-13)
    np.testing.assert_allclose(by_theta[-1], 0.0, atol=1e-12)


def test_utilities_beyond_range_and_memory_do_not_matter(kernels):
    example = nested(rho=(), places=())
    block = example.block
    functions = functions_of(block)
    far = example.delta.copy()
    far[0] = 800.0
    found, by_theta = kernels.expectations(
        block, example.tastes, functions, far, slopes_of(example), True
    )
    assert np.isfinite(found).all()
    assert np.isfinite(by_theta).all()
    E = expected(block, example.tastes, far, functions)
    np.testing.assert_allclose(found, E, rtol=1e-11, atol=1e-11)


def test_the_cut_of_markets_does_not_matter(kernels):
    """Two copies of a block's first market are twice that market."""
    example = nested(rho=(), places=(), sizes=(6, 6), agents=(8, 8))
    block = example.block
    twice = replace(
        block,
        X2=np.tile(block.X2[:, :6], 2),
        draws=np.tile(block.draws[:8], (2, 1)),
        weights=np.tile(block.weights[:8], 2),
    )
    functions = functions_of(twice)
    again = replace(
        functions,
        agents=np.tile(functions.agents[:, :8], 2),
        choices=np.tile(functions.choices[:, :7], 2),
        tables=np.tile(functions.tables[:, :56], 2),
    )
    delta = np.tile(example.delta[:6], 2)
    D = np.tile(slopes_of(example)[:6], (2, 1))
    both, by_both = kernels.expectations(twice, example.tastes, again, delta, D, True)
    half = replace(again, agents=again.agents * np.repeat([1.0, 0.0], 8))
    one, by_one = kernels.expectations(twice, example.tastes, half, delta, D, True)
    only = [1, 6]  # functions with one term of agents
    np.testing.assert_allclose(both[only], 2 * one[only], rtol=1e-12)
    np.testing.assert_allclose(by_both[only], 2 * by_one[only], rtol=1e-12)


def second_functions(block, seed=5):
    """Functions of first and second choices: products, tables, pairs, triples, one."""
    rng = np.random.default_rng(seed)
    J, people = np.diff(block.product_offsets), np.diff(block.agent_offsets)
    T, N, A = block.n_markets, block.n_products, block.weights.size
    V, none = int((J * people).sum()), [NONE, NONE, NONE]
    own = np.concatenate([np.arange(j + 1) for j in J])
    few = np.concatenate([[0, *(1 + rng.integers(0, 3, j))] for j in J])
    few = np.concatenate(
        [
            np.unique(c, return_inverse=True)[1]
            for c in np.split(few, np.cumsum(J + 1)[:-1])
        ]
    )
    return ChoiceFunctions(
        agents=rng.normal(size=(2, A)),
        choices=rng.normal(size=(3, N + T)),
        tables=rng.normal(size=(2, V + A)),
        agent_terms=np.array([none, [0, 1, -1], none, [1, -1, -1], none, none, none]),
        shapes=np.array([0, 0, 1, 2, 3, 4, 5]),
        choice_terms=np.array(
            [[0, 1, -1], [2, -1, -1], none, [1, -1, -1], [0, -1, -1], none]
        ),
        table_terms=np.array([none, [0, -1, -1], none, none, none, none]),
        removals=np.array([0, 1, 1, 0, -1, 1]),
        groups=np.stack([own, few]),
        second_choice_terms=np.array([[2, -1, -1], none, [0, 1, 2], none, none, none]),
        second_table_terms=np.array([none, [1, -1, -1], none, none, none, none]),
        pairs=rng.normal(size=(1, int(((J + 1) ** 2).sum()))),
        pair_terms=np.array([none, none, [0, -1, -1], none, none, none]),
        triples=rng.normal(size=(1, int(((J + 1) ** 2 * people).sum()))),
        triple_terms=np.array([none, none, none, [0, -1, -1], none, none]),
    )


def without(block, t, gone):
    """Make products of market t that are ``gone`` unavailable to all."""
    sizes = np.diff(block.product_offsets) * np.diff(block.agent_offsets)
    start = int(sizes[:t].sum())
    held = np.ones(sizes.sum()) if block.availability is None else block.availability
    held = held.copy()
    own = held[start : start + sizes[t]].reshape(-1, gone.size)
    own[:, gone] = 0.0
    return replace(block, availability=held)


def expected_second(block, tastes, delta, functions):
    """E ``(L,)`` of shapes with second choices, one pair of choices at a time."""
    E = np.zeros(functions.size)
    J, people = np.diff(block.product_offsets), np.diff(block.agent_offsets)
    cell = pair = triple = 0
    for t in range(block.n_markets):
        n, I = J[t] + 1, people[t]  # noqa: E741
        first = block.product_offsets[t] + t
        c = functions.choices[:, first : first + n]
        v = functions.tables[:, cell : cell + I * n].reshape(-1, I, n)
        g = functions.pairs[:, pair : pair + n * n].reshape(-1, n, n)
        z = functions.triples[:, triple : triple + I * n * n].reshape(-1, I, n, n)
        a = functions.agents[:, block.agent_offsets[t] :][:, :I]
        w = block.weights[block.agent_offsets[t] :][:I]
        P = probabilities(block, tastes, delta, t)
        p = np.hstack([1 - P.sum(axis=1, keepdims=True), P])
        for s, removal in enumerate(functions.removals):
            f = np.ones((I, n, n))
            for term in functions.choice_terms[s]:
                f *= c[term][:, None] if term >= 0 else 1.0
            for term in functions.table_terms[s]:
                f *= v[term][:, :, None] if term >= 0 else 1.0
            if removal < 0:
                found = (p * f[:, :, 0]).sum(axis=1)
            else:
                for term in functions.second_choice_terms[s]:
                    f *= c[term] if term >= 0 else 1.0
                for term in functions.second_table_terms[s]:
                    f *= v[term][:, None, :] if term >= 0 else 1.0
                for term in functions.pair_terms[s]:
                    f *= g[term] if term >= 0 else 1.0
                for term in functions.triple_terms[s]:
                    f *= z[term] if term >= 0 else 1.0
                codes = functions.groups[removal, first : first + n]
                found = np.zeros(I)
                for group in np.unique(codes):
                    gone = codes == group
                    if gone[0]:
                        left = p * ~gone / (1 - p[:, :1])
                    else:
                        left = probabilities(
                            without(block, t, gone[1:]), tastes, delta, t
                        )
                        left = np.hstack([1 - left.sum(axis=1, keepdims=True), left])
                    share = p[:, gone].sum(axis=1)
                    for j in np.flatnonzero(gone):
                        with np.errstate(invalid="ignore"):
                            split = np.where(share > 0, p[:, j] / share, 0.0)
                        gain = ((left - p) * f[:, j] * ~gone).sum(axis=1)
                        found += split * gain
            for el in np.flatnonzero(functions.shapes == s):
                own = w.copy()
                for term in functions.agent_terms[el]:
                    own *= a[term] if term >= 0 else 1.0
                E[el] += own @ found
        cell, pair, triple = cell + I * n, pair + n * n, triple + I * n * n
    return E


def test_second_choices_are_those_written_out(kernels, example):
    functions = second_functions(example.block)
    arguments = example.block, example.tastes, functions, example.delta
    found, _ = kernels.expectations(*arguments, slopes_of(example), False)
    E = expected_second(example.block, example.tastes, example.delta, functions)
    np.testing.assert_allclose(found, E, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found[-1], example.block.weights.sum(), rtol=1e-12)


def test_slopes_of_second_choices_are_finite_differences(kernels, example):
    block, tastes, D = example.block, example.tastes, slopes_of(example)
    functions = second_functions(block)
    arguments = block, tastes, functions
    _, by_theta = kernels.expectations(*arguments, example.delta, D, True)
    for p in range(tastes.size):

        def E(h, p=p):
            at, delta = moved(tastes, p, h), example.delta + h * D[:, p]
            return kernels.expectations(block, at, functions, delta, D, False)[0]

        slopes = differentiate(E, 1e-4)
        scale = 1 + np.abs(slopes).max()
        np.testing.assert_allclose(
            by_theta[:, p], slopes, rtol=0, atol=5e-9 * scale, err_msg=str(p)
        )
    np.testing.assert_allclose(by_theta[-1], 0.0, atol=1e-11)
