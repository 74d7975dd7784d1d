"""Which standard variates people's coefficients are made of: draws by kind.

An integration rule gives person i draws of its own, normal nodes n = Φ⁻¹(u). Kinds
whose variate is not normal take the same points u another way
(:mod:`blpdask.kernels.standard_variates`), so that every rule serves every kind.

A quadrature's nodes are all people's, ``(1, R, D)``, and weigh w_r, which the kernels
are told as log(w_r R). Weights below zero, which sparse grids have, would make some
probabilities of choices negative, and these have no logarithm: they are refused. Of
``"laplace"``, draws are the base points of those around modes
(:mod:`blpdask.model.laplace_draws`).

With ``"halton"``, 100 points discarded and digits not permuted, column d of all people
is one sequence in the d-th prime, of which each takes R points in turn: the draws of
the R package mlogit and of xlogit.

References
----------
Train (2009), "Discrete Choice Methods with Simulation", chapter 9.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import Faults
from ..integration.nodes import Nodes
from ..integration.ranges import StreamState, build_range
from ..integration.rules import Rule
from ..kernels.standard_variates import variates_of_normals
from ..records import Floats


def draw_variates(
    rule: Rule,
    kinds: Sequence[str],
    n_people: int,
    *,
    first: int = 0,
    start: StreamState | None = None,
) -> Floats:
    """Draw the standard variates of people.

    Parameters
    ----------
    rule
        A rule, of a simulation with a seed.
    kinds
        ``(D,)`` kinds of the random coefficients.
    n_people
        I.
    first
        Place of the first of them among all people.
    start
        Where the rule's stream stands at that person, where it has one and that is
        known.

    Returns
    -------
    Floats
        ``(I, R, D)``, of a quadrature ``(1, R, D)``; ``(I, 1, 0)`` where nothing is
        random.

    Raises
    ------
    InputError
        Where a quadrature has negative weights.

    Examples
    --------
    >>> draws = draw_variates(Rule("mlhs", 4), ["normal", "uniform"], 3)
    >>> draws.shape, bool((abs(draws[:, :, 1]) < 1).all())
    ((3, 4, 2), True)
    """
    if not kinds:
        return np.empty((n_people, 1, 0))
    if is_shared(rule):
        nodes = _positive_nodes(rule, len(kinds)).nodes[np.newaxis]
    else:
        stop = first + n_people
        built = build_range(rule.base, len(kinds), first, stop, start).nodes
        nodes = built.reshape(n_people, rule.size, len(kinds))
    return np.asarray(variates_of_normals(nodes, kinds))


def weigh_draws(rule: Rule, kinds: Sequence[str]) -> Floats:
    """Compute log weights of draws, ``(1, R)``, or ``(0, 0)`` where all weigh one.

    Examples
    --------
    >>> weigh_draws(Rule("product", 3), ["normal"]).round(4).tolist()
    [[-0.6931, 0.6931, -0.6931]]
    """
    if not kinds or not is_shared(rule):
        return np.empty((0, 0))
    weights = _positive_nodes(rule, len(kinds)).weights
    return np.log(weights * weights.size)[np.newaxis]


def count_draws(rule: Rule, kinds: Sequence[str]) -> int:
    """Count the draws of a person, zero where nothing is random."""
    if not kinds:
        return 0
    return (
        _positive_nodes(rule, len(kinds)).weights.size if is_shared(rule) else rule.size
    )


def is_shared(rule: Rule) -> bool:
    """Say whether all people have the same draws: those of a quadrature."""
    return not (rule.is_simulation or rule.is_centred)


def check_rule(rule: Rule, dimensions: int) -> None:
    """Refuse rules some of whose weights are negative."""
    if dimensions and is_shared(rule):
        _positive_nodes(rule, dimensions)


def _positive_nodes(rule: Rule, dimensions: int) -> Nodes:
    """Build a quadrature without the nodes whose weight is too small for a number."""
    built = rule.build(dimensions)
    negative = int((built.weights < 0.0).sum())
    if negative:
        faults = Faults("integration")
        faults.add(
            f"{negative} negative weights of {built.weights.size}, of the quadrature "
            f"{rule.specification!r} of level {rule.size} in {dimensions} dimensions",
            "positive weights: a negative one can make the probability of a person's "
            "choices negative, which has no logarithm",
            "use 'product' or 'trapezoid' in few dimensions, and draws in more: "
            "Integration('sobol', 512, {'seed': 0})",
        )
        faults.check()
    counted = built.weights > 0.0
    return Nodes(nodes=built.nodes[counted], weights=built.weights[counted])
