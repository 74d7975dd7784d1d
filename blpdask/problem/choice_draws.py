"""Which standard variates people's coefficients are made of: draws by kind.

An integration rule gives person i draws of its own, normal nodes z = Φ⁻¹(u). Kinds
whose variate is not normal take the same points u another way, two of them on [-1, 1],

    uniform:     z = 2 u - 1,
    triangular:  z = √(2 u) - 1 for u <= 1/2,   1 - √(2 (1 - u)) above,
    exponential: z = -log(1 - u),

so that every rule serves every kind. All draws of a person weigh the same, which those
of a quadrature do not: these are refused.

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
from ..integration.ranges import StreamState, build_range
from ..integration.rules import SIMULATIONS, Rule
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
        A simulation rule with a seed; its size is R.
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
        ``(I, R, D)``; ``(I, 1, 0)`` where nothing is random.

    Raises
    ------
    InputError
        Where the rule is a quadrature.

    Examples
    --------
    >>> draws = draw_variates(Rule("mlhs", 4), ["normal", "uniform"], 3)
    >>> draws.shape, bool((abs(draws[:, :, 1]) < 1).all())
    ((3, 4, 2), True)
    """
    if not kinds:
        return np.empty((n_people, 1, 0))
    check_rule(rule)
    nodes = build_range(rule, len(kinds), first, first + n_people, start).nodes
    draws = nodes.reshape(n_people, rule.size, len(kinds))
    for d, kind in enumerate(kinds):
        if kind == "uniform":
            draws[:, :, d] = uniform_variates(draws[:, :, d])
        elif kind == "triangular":
            draws[:, :, d] = triangular_variates(draws[:, :, d])
        elif kind == "exponential":
            draws[:, :, d] = exponential_variates(draws[:, :, d])
    return draws


def check_rule(rule: Rule) -> None:
    """Refuse rules whose draws do not weigh the same."""
    if rule.is_simulation:
        return
    faults = Faults("integration")
    faults.add(
        f"the quadrature {rule.specification!r}",
        f"one of {', '.join(map(repr, SIMULATIONS))}",
        "use draws, such as Integration('sobol', 512, {'seed': 0})",
    )
    faults.check()


def uniform_variates(normal: Floats) -> Floats:
    """Turn normal variates, of any shape, into uniform ones on [-1, 1].

    Examples
    --------
    >>> uniform_variates(np.array([-40.0, 0.0, 40.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    from scipy.special import ndtr

    return np.asarray(ndtr(normal) - ndtr(-normal))


def triangular_variates(normal: Floats) -> Floats:
    """Turn normal variates, of any shape, into triangular ones on [-1, 1].

    Examples
    --------
    >>> triangular_variates(np.array([-40.0, 0.0, 40.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    from scipy.special import ndtr

    return np.asarray(np.sign(normal) * (1.0 - np.sqrt(2.0 * ndtr(-np.abs(normal)))))


def exponential_variates(normal: Floats) -> Floats:
    """Turn normal variates, of any shape, into exponential ones of mean one.

    Examples
    --------
    >>> exponential_variates(np.array([-40.0, 0.0])).round(6).tolist()
    [0.0, 0.693147]
    """
    from scipy.special import log_ndtr

    return np.asarray(-log_ndtr(-normal))
