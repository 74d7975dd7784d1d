"""Say how integrals over tastes become sums: the public integration configuration.

    s_j = ∫ s_j(ν) φ(ν) dν ≈ Σ_i w_i s_j(ν_i)

Keywords are checked here, all at once, and become a
:class:`blpdask.integration.rules.Rule`, which does the work.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataWarning, Faults
from ..integration import gauss_hermite, nested_gauss_hermite
from ..integration.rules import (
    CENTRED,
    SIMULATIONS,
    SPECIFICATIONS,
    Rule,
    RuleOptions,
)

_DESCRIPTIONS = {
    "monte_carlo": "pseudo-random normal draws",
    "halton": "Halton sequences",
    "lhs": "Latin hypercube sampling",
    "mlhs": "modified Latin hypercube sampling",
    "sobol": "scrambled Sobol sequences",
    "product": "the product Gauss-Hermite rule",
    "nested_product": "the product nested Gauss-Hermite rule",
    "grid": "a sparse grid of Gauss-Hermite rules",
    "nested_grid": "a sparse grid of nested Gauss-Hermite rules",
    "trapezoid": "the product trapezoid rule",
    "laplace": "scrambled Sobol sequences around modes of people's tastes",
}

_RULES = (*SPECIFICATIONS, *CENTRED)

_OPTIONS = {
    **dict.fromkeys(SPECIFICATIONS, ()),
    **dict.fromkeys((*SIMULATIONS, *CENTRED), ("seed", "antithetic")),
    "halton": ("seed", "discard", "scramble", "antithetic"),
}


class Integration:
    """How to build nodes and weights for integration over tastes.

    Parameters
    ----------
    specification
        ``"monte_carlo"`` (pseudo-random draws), ``"halton"`` (Halton sequences),
        ``"lhs"`` or ``"mlhs"`` (Latin hypercubes, modified: evenly spaced), ``"sobol"``
        (scrambled Sobol sequences), ``"product"`` (product Gauss-Hermite quadrature),
        ``"grid"`` (a sparse grid of it), ``"nested_product"`` or ``"nested_grid"``
        (the same with nested rules). Weights of the last three can be negative.
        ``"trapezoid"`` (nodes evenly spaced, :mod:`blpdask.integration.trapezoid`) is
        the most exact where there are few dimensions and probabilities turn fast.
        ``"laplace"``, of a :class:`blpdask.ChoiceProblem` alone, draws from around the
        modes of people's tastes given their choices
        (:mod:`blpdask.model.laplace_draws`).
    size
        Draws in each market, or of each person, of the first five rules and the last
        (best a power of two for ``"sobol"`` and ``"laplace"``); nodes of a dimension of
        ``"trapezoid"``; level of exactness of the others: polynomials up to degree
        ``2 * size - 1`` are integrated exactly.
    specification_options
        ``seed`` of the first five and the last, without which every build draws a new
        one; ``antithetic`` (False) of the same: whether the second half of the draws
        mirrors the first; ``discard`` (1000) and ``scramble`` (True) of ``"halton"``:
        how many of a sequence's first points are skipped and whether digits are
        permuted at random (Owen 2017).

    Raises
    ------
    InputError
        With every fault of the arguments.

    Warns
    -----
    DataWarning
        If an option has no effect, a Sobol size is not a power of two, or a Halton
        sequence starts at its point 0, whose node is minus infinity.

    Examples
    --------
    >>> Integration("product", size=3)
    Nodes and weights from the product Gauss-Hermite rule of level 3.
    >>> Integration("halton", 50, {"seed": 0, "discard": 10})
    Nodes and weights from Halton sequences, 50 draws in each market (seed: 0, \
discard: 10, scramble: True).
    """

    __slots__ = ("rule",)

    rule: Rule

    def __init__(
        self,
        specification: str,
        size: int,
        specification_options: Mapping[str, Any] | None = None,
    ) -> None:
        faults = Faults("Integration")
        _check_specification(specification, faults)
        _check_size(specification, size, faults)
        given = _check_mapping(specification_options, faults)
        _check_options(specification, given, faults)
        _check_mirrored(specification, size, given, faults)
        faults.check()
        options = RuleOptions(
            seed=None if given.get("seed") is None else int(given["seed"]),
            discard=int(given.get("discard", RuleOptions().discard)),
            scramble=bool(given.get("scramble", RuleOptions().scramble)),
            antithetic=_is_mirrored(specification, given),
        )
        self.rule = Rule(specification, int(size), options)
        _warn_of_oddities(self.rule, given)

    def __eq__(self, other: object) -> bool:
        """Compare rules."""
        return isinstance(other, Integration) and self.rule == other.rule

    def __hash__(self) -> int:
        """Hash the rule."""
        return hash(self.rule)

    def __str__(self) -> str:
        """Say the rule in a sentence."""
        rule = self.rule
        text = f"Nodes and weights from {_DESCRIPTIONS[rule.specification]}"
        if rule.specification == "trapezoid":
            return f"{text}, {rule.size} nodes in each dimension."
        if not (rule.is_simulation or rule.is_centred):
            return f"{text} of level {rule.size}."
        draws = "1 draw" if rule.size == 1 else f"{rule.size} draws"
        where = "of each person" if rule.is_centred else "in each market"
        kept = rule.options.antithetic
        names = [n for n in _OPTIONS[rule.specification] if kept or n != "antithetic"]
        options = ", ".join(f"{name}: {getattr(rule.options, name)}" for name in names)
        return f"{text}, {draws} {where} ({options})."

    def __repr__(self) -> str:
        """Say the rule in a sentence."""
        return str(self)


def build_integration(
    integration: Integration, dimensions: int
) -> np.recarray[Any, Any]:
    """Build nodes and weights of one market, as a table.

    Parameters
    ----------
    integration
        How to build them.
    dimensions
        Columns of nodes, K.

    Returns
    -------
    numpy.recarray
        I records with the fields ``weights``, ``(I, 1)``, and ``nodes``, ``(I, K)``.

    Raises
    ------
    InputError
        If an argument is not what it should be, or a product rule would have more
        than 10^8 nodes.

    Examples
    --------
    >>> table = build_integration(Integration("product", 2), 1)
    >>> table.nodes.round(4).tolist(), table.weights.round(4).tolist()
    ([[-1.0], [1.0]], [[0.5], [0.5]])
    """
    faults = Faults("build_integration")
    if not isinstance(integration, Integration):
        faults.add(
            f"integration of type {type(integration).__name__}",
            "an Integration",
            "configure one, for example Integration('product', 5)",
        )
    if not _is_integer(dimensions, minimum=1):
        faults.add(
            f"dimensions {dimensions!r}",
            "a positive integer",
            "give the number of columns of nodes",
        )
    faults.check()
    built = integration.rule.build(int(dimensions))
    size, columns = built.nodes.shape
    fields = [("weights", np.float64, (1,)), ("nodes", np.float64, (columns,))]
    table = np.recarray(size, dtype=fields)
    table["weights"] = built.weights[:, np.newaxis]
    table["nodes"] = built.nodes
    return table


def _check_specification(specification: str, faults: Faults) -> None:
    """Look for a specification that no rule has."""
    if not isinstance(specification, str) or specification not in _RULES:
        faults.add(
            f"specification {specification!r}",
            f"one of {', '.join(map(repr, _RULES))}",
            "choose one of these",
        )


def _check_size(specification: str, size: int, faults: Faults) -> None:
    """Look for a size that is not positive, or beyond a quadrature's last level."""
    if not _is_integer(size, minimum=1):
        faults.add(
            f"size {size!r}",
            "a positive integer",
            "give the number of draws in a market, or the level of a quadrature",
        )
        return
    last = {
        "product": gauss_hermite.MAX_LEVEL,
        "grid": gauss_hermite.MAX_LEVEL,
        "nested_product": nested_gauss_hermite.MAX_LEVEL,
        "nested_grid": nested_gauss_hermite.MAX_LEVEL,
    }.get(str(specification))
    if last is not None and size > last:
        faults.add(
            f"size {size} for {specification!r}",
            f"a level of at most {last}",
            "lower the size, which is a level here and not a number of draws",
        )


def _check_mapping(given: Mapping[str, Any] | None, faults: Faults) -> dict[str, Any]:
    """Read options into a dictionary, or note that they are none."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    faults.add(
        f"specification_options of type {type(given).__name__}",
        "None or a dictionary",
        "give options by name, for example {'seed': 0}",
    )
    return {}


def _check_options(specification: str, given: dict[str, Any], faults: Faults) -> None:
    """Look for options that do not exist or have a value they cannot have."""
    known = _OPTIONS["halton"]
    for name in given:
        if name not in known:
            allowed = _OPTIONS.get(str(specification), known)
            faults.add(
                f"specification option {name!r}",
                f"one of {', '.join(map(repr, allowed))}" if allowed else "no option",
                "correct or remove it",
            )
    last_seed = None if specification in ("sobol", *CENTRED) else 2**32 - 1
    if given.get("seed") is not None and not _is_integer(
        given["seed"], minimum=0, maximum=last_seed
    ):
        faults.add(
            f"specification option seed {given['seed']!r}",
            "a nonnegative integer" + ("" if last_seed is None else " below 2**32"),
            "give such an integer, or none for new draws at every build",
        )
    if not _is_integer(given.get("discard", 0), minimum=0):
        faults.add(
            f"specification option discard {given['discard']!r}",
            "a nonnegative integer",
            "give the number of points to skip",
        )
    if given.get("scramble", True) not in (True, False):
        faults.add(
            f"specification option scramble {given['scramble']!r}",
            "True or False",
            "say whether to permute digits at random",
        )


def _is_mirrored(specification: str, given: dict[str, Any]) -> bool:
    """Say whether draws are antithetic, which nodes of quadratures never are."""
    known = _OPTIONS.get(str(specification), ())
    return "antithetic" in known and bool(given.get("antithetic", False))


def _check_mirrored(
    specification: str, size: Any, given: dict[str, Any], faults: Faults
) -> None:
    """Look for antithetic draws that are no truth value, or of an odd number."""
    mirrored = given.get("antithetic", False)
    if mirrored not in (True, False):
        faults.add(
            f"specification option antithetic {mirrored!r}",
            "True or False",
            "say whether the second half of the draws mirrors the first",
        )
        return
    odd = _is_integer(size, minimum=1) and size % 2
    if odd and _is_mirrored(specification, given):
        faults.add(
            f"size {size} of antithetic draws",
            "an even number: the second half mirrors the first",
            f"draw {size + 1}",
        )


def _is_integer(value: object, minimum: int, maximum: int | None = None) -> bool:
    """Tell whether a value is an integer (and no truth value) within bounds."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        return False
    return bool(value >= minimum and (maximum is None or value <= maximum))


def _warn_of_oddities(rule: Rule, given: dict[str, Any]) -> None:
    """Warn of what is allowed but seldom meant."""
    messages = [
        f"the option {name!r} has no effect on {rule.specification!r}"
        for name in given
        if name not in _OPTIONS[rule.specification]
    ]
    if rule.base.specification == "sobol" and rule.size.bit_count() != 1:
        messages.append(
            f"the size {rule.size} of {rule.specification!r} is not a power of two, so "
            f"that draws are not balanced; {2 ** (rule.size - 1).bit_length()} is"
        )
    unscrambled = rule.specification == "halton" and not rule.options.scramble
    if unscrambled and rule.options.discard == 0:
        messages.append(
            "the first node of an unscrambled Halton sequence is minus infinity; "
            "discard at least one point"
        )
    for message in messages:
        warnings.warn(message, DataWarning, stacklevel=3)
