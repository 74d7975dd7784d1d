"""Which terms a formula such as ``1 + prices * C(region)`` stands for, in what order.

Wilkinson and Rogers' (1973) algebra of terms as R and patsy write it: a term is a set
of factors, ``+`` and ``-`` are union and difference, ``a:b`` interacts every term of a
with every term of b, ``a * b = a + b + a:b``, ``a / b = a + (all of a):b``, and
``a ** n`` interacts up to degree n. The intercept comes first unless 0 or -1
removes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import Faults
from .formula_expressions import (
    FUNCTIONS,
    Expression,
    parse_expression,
    refusal,
    shorten,
)

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w))"
    r"|(?P<name>[^\W\d]\w*)|(?P<operator>\*\*|[-+*/:()~]))"
)
_CALL = re.compile(r"(?<![\w.])([^\W\d][\w.]*)\s*\(")
_PRECEDENCE = {"+": 100, "-": 100, "*": 200, "/": 200, ":": 300, "**": 500}


@dataclass(frozen=True, slots=True)
class Factor:
    """One variable, or one call of C, I, log or exp; known by how it is written.

    Attributes
    ----------
    label
        The text, evenly spaced; factors are the same where their labels are.
    expression
        What it computes.
    marked
        Whether it is written ``C(...)``, hence categorical whatever the data.
    """

    label: str
    expression: Expression
    marked: bool


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A product of factors, in the order written; the intercept has none."""

    factors: tuple[Factor, ...]

    @property
    def label(self) -> str:
        """Write the term as a formula."""
        return ":".join(factor.label for factor in self.factors) or "1"

    @property
    def key(self) -> frozenset[str]:
        """What tells terms apart: the order of factors does not."""
        return frozenset(factor.label for factor in self.factors)

    def __eq__(self, other: object) -> bool:
        """Terms of the same factors are the same."""
        return isinstance(other, Term) and self.key == other.key

    def __hash__(self) -> int:
        """Hash the set of factors."""
        return hash(self.key)


INTERCEPT = Term(())


@dataclass(frozen=True, slots=True)
class _Terms:
    """Terms of part of a formula.

    ``intercept`` is None where the part does not speak of it; ``number`` is the text
    of a part that is nothing but a number.
    """

    terms: tuple[Term, ...]
    intercept: bool | None = None
    number: str | None = None


def parse_terms(formula: str) -> tuple[Term, ...]:
    """Find the terms of a one-sided formula.

    Parameters
    ----------
    formula
        R-style formula without a left-hand side.

    Returns
    -------
    tuple
        Terms in the order written, each once, the intercept first if there is one.

    Raises
    ------
    InputError
        If the formula is not well formed or calls anything but C, I, log and exp.

    Examples
    --------
    >>> [term.label for term in parse_terms("0 + x * log(y)")]
    ['x', 'log(y)', 'x:log(y)']
    """
    tokens = _tokenize(formula)
    if tokens and tokens[0] == "~":
        tokens = tokens[1:]
    if not tokens:
        return (INTERCEPT,)
    reader = _Reader(formula, tokens)
    try:
        parsed = reader.read(0)
    except RecursionError:
        raise refusal(
            f"{shorten(formula)}, nested too deeply", "a shorter one"
        ) from None
    reader.check_number(parsed)
    if reader.next is not None:
        raise refusal(
            f"'{reader.next}' in {shorten(formula)}", "an operator between terms"
        )
    intercept = () if parsed.intercept is False else (INTERCEPT,)
    return intercept + parsed.terms


class _Reader:
    """Reads tokens from left to right, stronger operators first."""

    def __init__(self, formula: str, tokens: list[str]) -> None:
        """Start at the first token."""
        self.formula = formula
        self.tokens = tokens
        self.place = 0

    @property
    def next(self) -> str | None:
        """Look at the next token without taking it."""
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def take(self) -> str:
        """Take the next token."""
        token = self.next
        if token is None:
            raise refusal(
                f"{shorten(self.formula)}, which ends early", "a term at its end"
            )
        self.place += 1
        return token

    def read(self, weakest: int) -> _Terms:
        """Read operators that bind more strongly than ``weakest``."""
        left = self.read_operand()
        while self.next is not None and _PRECEDENCE.get(self.next, 0) > weakest:
            operator = self.take()
            right = self.read(_PRECEDENCE[operator])
            left = self.combine(operator, left, right)
        return left

    def read_operand(self) -> _Terms:
        """Read a sign, a parenthesis, a number or a factor."""
        token = self.take()
        if token in "+-":
            return self.sign(token, self.read(_PRECEDENCE[token]))
        if token == "(":
            inside = self.read(0)
            if self.next != ")":
                raise refusal(shorten(self.formula), "as many ')' as '('")
            self.take()
            return inside
        if token[0].isdigit() or token[0] == ".":
            return _Terms((), {"0": False, "1": True}.get(token), token)
        if token in _PRECEDENCE or token in ")~":
            raise refusal(
                f"'{token}' in {shorten(self.formula)}", "a term in its place"
            )
        return _Terms((Term((self.read_factor(token),)),))

    def read_factor(self, name: str) -> Factor:
        """Read a variable, or a call up to its closing parenthesis."""
        tokens = [name]
        depth = 0
        while self.next == "(" or depth:
            tokens.append(self.take())
            depth += {"(": 1, ")": -1}.get(tokens[-1], 0)
            if not depth:
                break
        label = _spaced(tokens)
        expression, marked = parse_expression(label)
        return Factor(label=label, expression=expression, marked=marked)

    def sign(self, token: str, operand: _Terms) -> _Terms:
        """Apply a sign, which only an intercept can have."""
        if token == "+":
            return _Terms(operand.terms, operand.intercept)
        if operand.number not in ("0", "1"):
            raise refusal(
                f"a minus sign before a term in {shorten(self.formula)}", "-1 or -0"
            )
        return _Terms((), operand.number == "0")

    def combine(self, operator: str, left: _Terms, right: _Terms) -> _Terms:
        """Carry out one operator of the algebra."""
        operands = (left,) if operator == "**" else (left, right)
        for side in operands:
            self.check_number(side)
        match operator:
            case "+":
                return _add(left, right)
            case "-":
                return _subtract(left, right)
        for side in operands:
            if side.intercept:
                raise refusal(
                    f"the intercept under '{operator}' in {shorten(self.formula)}",
                    "interactions of variables",
                )
        match operator:
            case ":":
                return _Terms(_interact(left.terms, right.terms))
            case "*":
                both = _interact(left.terms, right.terms)
                return _Terms(_unique(left.terms + right.terms + both))
            case "/":
                every = Term(_factors(left.terms))
                return _Terms(_unique(left.terms + _interact((every,), right.terms)))
        return _Terms(self.raise_to(left.terms, right.number))

    def check_number(self, side: _Terms) -> None:
        """Refuse numbers that are neither 0 nor 1."""
        if side.number not in (None, "0", "1"):
            found = f"the number {side.number} in {shorten(self.formula)}"
            raise refusal(found, "0 or 1 outside I(...)")

    def raise_to(self, terms: tuple[Term, ...], number: str | None) -> tuple[Term, ...]:
        """Interact terms with each other up to a degree."""
        if number is None or not number.isdigit() or int(number) < 1:
            raise refusal(
                f"'**' in {shorten(self.formula)}", "a positive integer after '**'"
            )
        reached = power = terms
        for _ in range(1, min(int(number), len(terms))):
            power = _interact(terms, power)
            reached = _unique(reached + power)
        return reached


def _tokenize(formula: str) -> list[str]:
    """Cut a formula into tokens; all that it may not hold is reported together."""
    faults = Faults("formula")
    for call in _CALL.findall(formula):
        if call not in FUNCTIONS:
            _add_refusal(faults, f"the call {call}(...)", "a function that is allowed")
    tokens: list[str] = []
    strange: dict[str, None] = {}
    place = 0
    text = formula.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            strange[text[place:].lstrip()[0]] = None
            place += 1
            continue
        tokens.append(match[0].strip())
        place = match.end()
    if strange:
        _add_refusal(
            faults, f"{' '.join(strange)} in {shorten(formula)}", "an R-style formula"
        )
    if "~" in tokens[1:]:
        _add_refusal(faults, f"'~' in {shorten(formula)}", "no left-hand side")
    faults.check()
    return tokens


def _add_refusal(faults: Faults, found: str, expected: str) -> None:
    """Add a refusal to the faults of a formula."""
    faults.extend(refusal(found, expected))


def _spaced(tokens: list[str]) -> str:
    """Join tokens with spaces around binary operators only, as patsy does."""
    text = ""
    previous = "("
    for token in tokens:
        operator = token in _PRECEDENCE
        unary = operator and (previous == "(" or previous in _PRECEDENCE)
        if operator and not unary:
            text += f" {token} "
        else:
            words = not operator and token not in "()" and previous not in "()"
            glue = " " if words and previous not in _PRECEDENCE else ""
            text += glue + token
        previous = token
    return text


def _add(left: _Terms, right: _Terms) -> _Terms:
    """Unite terms; a 0 on the right removes the intercept."""
    terms = _unique(left.terms + right.terms)
    if right.number == "0":
        return _Terms(terms, False)
    return _Terms(terms, True if right.intercept else left.intercept)


def _subtract(left: _Terms, right: _Terms) -> _Terms:
    """Remove terms; -1 removes the intercept and -0 restores it."""
    if right.number == "0":
        return _Terms(left.terms, True)
    terms = tuple(term for term in left.terms if term not in right.terms)
    return _Terms(terms, False if right.intercept else left.intercept)


def _interact(left: tuple[Term, ...], right: tuple[Term, ...]) -> tuple[Term, ...]:
    """Interact every term on the left with every term on the right."""
    return _unique(tuple(Term(_factors((a, b))) for a in left for b in right))


def _factors(terms: tuple[Term, ...]) -> tuple[Factor, ...]:
    """Collect the factors of terms, each once."""
    found = {factor.label: factor for term in terms for factor in term.factors}
    return tuple(found.values())


def _unique(terms: tuple[Term, ...]) -> tuple[Term, ...]:
    """Keep the first of equal terms."""
    return tuple(dict.fromkeys(terms))
