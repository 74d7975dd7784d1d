"""Weights and values of surveys as formulas: data that need no function of the user's.

    v_ij = Π_r e_r(i, j) · g(i, j),

where e_r and g, what v is conditional on, are arithmetic in the language of formulas
(:mod:`.formula_expressions`) on columns of agents and of products: ``"income"``,
``"income * prices"``, ``"log(prices)"``, and ``inside``, which is one for every
product. Products' columns are zero for the outside option. Where g is zero v is,
whatever e_r are there, so that log(prices) given inside is well defined. Of surveys of
second choices k, v_ijk: columns mean first choices and, within ``second(...)``, second
ones, so that ``"prices * second(prices)"`` is p_j p_k; ``second(1)`` is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import Faults, InputError
from ..records import Floats
from .fields import some
from .formula_expressions import (
    Expression,
    Leaf,
    evaluate,
    leaves,
    parse_expression,
    refusal,
)
from .survey_market import SurveyedMarket
from .survey_marks import ONE, column_of, mark_second


@dataclass(frozen=True, slots=True)
class ChoiceExpression:
    """A function of agents and their choices, by formula.

    Attributes
    ----------
    factors
        Formulas that are multiplied, at least one where nothing is given.
    given
        Formula of what the function is conditional on, or None.
    parsed
        What they compute, in this order.

    Raises
    ------
    InputError
        Where a formula is not well formed, with every fault.

    Examples
    --------
    >>> str(ChoiceExpression(("income", "prices - 1"), "inside"))
    'income * (prices - 1) * inside'
    """

    factors: tuple[str, ...]
    given: str | None = None
    parsed: tuple[Expression, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the formulas, all faults together."""
        faults = Faults("formula")
        parsed = []
        for text in self._texts:
            try:
                parsed.append(_parse(text))
            except InputError as error:
                faults.extend(error)
        faults.check()
        # A frozen record fills what it derives from its fields only here.
        object.__setattr__(self, "parsed", tuple(parsed))

    def __str__(self) -> str:
        """Write the product."""
        pairs = list(zip(self._texts, self.parsed, strict=True))
        alone = len(pairs) == 1
        return " * ".join(t if alone or _binds(e) else f"({t})" for t, e in pairs)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that the function needs, each once."""
        found = [column_of(leaf)[0] for tree in self.parsed for leaf in leaves(tree)]
        return tuple(dict.fromkeys(name for name in found if name != ONE))

    @property
    def of_second(self) -> bool:
        """Tell whether the function is one of second choices too."""
        return any(column_of(leaf)[1] for tree in self.parsed for leaf in leaves(tree))

    def evaluate(
        self, market: SurveyedMarket, *, second: bool = False
    ) -> tuple[Floats, Floats | None]:
        """Evaluate the factors' product and what is given.

        Parameters
        ----------
        market
            A market's tables.
        second
            Whether both are ``(I, 1 + J, 1 + J)``, of first and second choices, and not
            ``(I, 1 + J)``.
        """
        values = [_evaluate(tree, market, second) for tree in self.parsed]
        given = None if self.given is None else values.pop()
        choices = 1 + market.n_products
        product = np.ones((market.n_agents, *[choices] * (1 + second)))
        with np.errstate(all="ignore"):
            for factor in values:
                product = product * factor
        return product, given

    @property
    def _texts(self) -> tuple[str, ...]:
        """All formulas."""
        return self.factors if self.given is None else (*self.factors, self.given)


def check_names(
    expression: ChoiceExpression, known: Sequence[str], label: str, faults: Faults
) -> None:
    """Check that every column is there, and once.

    Parameters
    ----------
    expression
        The function.
    known
        Names of columns of agents and of products.
    label
        What has the expression.
    faults
        What every fault is added to.
    """
    counts = Counter(known)
    for name in expression.names:
        if counts[name] == 0:
            faults.add(
                f"no column '{name}' for {label}",
                f"columns that the formulations name: {some(sorted(counts), 30)}",
                "correct the formula, or name the column in agent_formulation (with "
                "zeros in pi where tastes do not depend on it) or in X1 or X2",
            )
        elif counts[name] > 1:
            faults.add(
                f"a column '{name}' of products and one of agents, for {label}",
                "names that mean one thing",
                "rename one of them",
            )


def _parse(text: str) -> Expression:
    """Read a formula."""
    if not isinstance(text, str) or not text.strip():
        raise refusal(f"{text!r}", "a formula in quotes")
    expression, marked = parse_expression(text.strip(), mark_second)
    if marked:
        raise refusal(f"'{text}'", "numbers")
    return expression


def _binds(expression: Expression) -> bool:
    """Tell whether a formula can be a factor without parentheses."""
    symbol = getattr(expression, "symbol", "")
    return symbol not in ("+", "-", "neg", "/")


def _evaluate(tree: Expression, market: SurveyedMarket, second: bool) -> Floats:
    """Evaluate a formula; what is not finite is left for all to see."""

    def read(leaf: Leaf) -> Floats:
        name, of_second = column_of(leaf)
        values = np.ones((1, 1)) if name == ONE else market.column(name)
        if not second:
            return values
        return values[:, None, :] if of_second else values[:, :, None]

    with np.errstate(all="ignore"):
        values = evaluate(tree, read)
    shape = market.n_agents, *[1 + market.n_products] * (1 + second)
    return np.broadcast_to(np.asarray(values, dtype=np.float64), shape)
