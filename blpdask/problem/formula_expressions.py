"""What a factor such as ``I(1 / income)`` computes, as a small tree that is data.

An expression is a constant, a variable, an indicator 1{variable = level}, or one of
the operations + - * / ** log exp on expressions. It is read from text with Python's
own parser, checked node by node against that list, and evaluated by walking the tree:
no text is ever executed.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..errors import Fault, InputError
from ..records import Floats

FUNCTIONS = ("C", "I", "log", "exp")
DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Constant:
    """A real number."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Variable:
    """A numeric variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Indicator:
    """One where a categorical variable has a level, zero elsewhere."""

    name: str
    level: Any

    @property
    def label(self) -> str:
        """Name the indicator as PyBLP does."""
        return f"{self.name}[{self.level!r}]"


@dataclass(frozen=True, slots=True)
class Operation:
    """One of + - * / ** neg log exp applied to expressions; + and * take any number."""

    symbol: str
    arguments: tuple[Expression, ...]


Leaf: TypeAlias = Variable | Indicator
Expression: TypeAlias = Constant | Variable | Indicator | Operation


def parse_expression(
    text: str, rewrite: Callable[[ast.expr, str], ast.expr] | None = None
) -> tuple[Expression, bool]:
    """Read a factor.

    Parameters
    ----------
    text
        A variable, ``C(variable)``, ``I(...)``, ``log(...)`` or ``exp(...)``.
    rewrite
        Of the syntax tree and the text gives the tree that is meant; the same where
        None.

    Returns
    -------
    tuple
        The expression, and whether ``C`` marks it as categorical.

    Raises
    ------
    InputError
        If the text is anything but arithmetic on variables, log and exp.

    Examples
    --------
    >>> parse_expression("log(x)")
    (Operation(symbol='log', arguments=(Variable(name='x'),)), False)
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise refusal(
            f"{shorten(text)}, which is not well formed",
            "arithmetic on variables, such as I(prices ** 2)",
        ) from None
    if rewrite is not None:
        tree = rewrite(tree, text)
    if isinstance(tree, ast.Call) and _function(tree) == "C":
        return _marked_variable(tree), True
    return _convert(tree, text, 0), False


def evaluate(expression: Expression, read: Callable[[Leaf], Floats]) -> Floats | float:
    """Evaluate an expression; ``read`` gives the ``(N,)`` values of its leaves."""
    if isinstance(expression, Constant):
        return float(expression.value)
    if isinstance(expression, Operation):
        values = [evaluate(argument, read) for argument in expression.arguments]
        applied: Floats | float = _apply(expression.symbol, values)
        return applied
    return read(expression)


def leaves(expression: Expression) -> Iterator[Leaf]:
    """Visit the variables and indicators of an expression."""
    if isinstance(expression, Operation):
        for argument in expression.arguments:
            yield from leaves(argument)
    elif not isinstance(expression, Constant):
        yield expression


def product(factors: tuple[Expression, ...]) -> Expression:
    """Multiply expressions; the product of none is one."""
    if not factors:
        return Constant(1)
    return factors[0] if len(factors) == 1 else Operation("*", factors)


def shorten(text: str) -> str:
    """Quote a text, cut where it is long."""
    return f"'{text}'" if len(text) <= 60 else f"'{text[:56]} ...'"


def refusal(found: str, expected: str) -> InputError:
    """Say why a formula is refused and what formulas may hold."""
    remedy = (
        f"use only variables, numbers, parentheses, + - * / ** and the functions "
        f"{', '.join(FUNCTIONS)}; compute anything else as a column of the data"
    )
    return InputError("formula", (Fault(found, expected, remedy),))


def _apply(symbol: str, values: list[Any]) -> Any:
    """Carry out one operation on arrays or numbers."""
    match symbol:
        case "+":
            return sum(values[1:], start=values[0])
        case "*":
            return math.prod(values[1:], start=values[0])
        case "-":
            return values[0] - values[1]
        case "/":
            return values[0] / values[1]
        case "**":
            return values[0] ** values[1]
        case "neg":
            return -values[0]
        case "log":
            return np.log(values[0])
        case _:
            return np.exp(values[0])


_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "**",
}


def _convert(node: ast.expr, text: str, depth: int) -> Expression:
    """Turn a node of Python's syntax tree into an expression, or refuse it."""
    if depth > DEEPEST:
        raise refusal(f"{shorten(text)}, nested too deeply", "a shorter expression")
    match node:
        case ast.Name(id=name):
            return Variable(name)
        case ast.Constant(value=int() | float() as value) if not isinstance(
            value, bool
        ):
            return _checked(Constant(value), text)
        case ast.BinOp(left=left, op=operator, right=right):
            symbol = _BINARY.get(type(operator))
            if symbol is not None:
                pair = (_convert(side, text, depth + 1) for side in (left, right))
                return _checked(Operation(symbol, tuple(pair)), text)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _checked(
                Operation("neg", (_convert(operand, text, depth + 1),)), text
            )
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _convert(operand, text, depth + 1)
        case ast.Call():
            return _convert_call(node, text, depth)
    raise refusal(
        f"'{ast.unparse(node)}' in {shorten(text)}",
        "arithmetic on variables and numbers",
    )


def _convert_call(node: ast.Call, text: str, depth: int) -> Expression:
    """Turn a call of I, log or exp into an expression, or refuse it."""
    name = _function(node)
    if name == "C":
        raise refusal(
            f"'{ast.unparse(node)}' inside {shorten(text)}",
            "C(...) as a factor of its own",
        )
    if name is None or len(node.args) != 1 or node.keywords:
        raise refusal(
            f"the call '{ast.unparse(node)}'",
            f"one of the functions {', '.join(FUNCTIONS)} of one argument",
        )
    argument = _convert(node.args[0], text, depth + 1)
    return argument if name == "I" else _checked(Operation(name, (argument,)), text)


def _function(node: ast.Call) -> str | None:
    """Name the function that is called, if it is one of those allowed."""
    if isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
        return node.func.id
    return None


def _marked_variable(node: ast.Call) -> Variable:
    """Read the one variable that C marks as categorical."""
    if len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.Name):
        return Variable(node.args[0].id)
    raise refusal(f"'{ast.unparse(node)}'", "C(...) of a single variable")


def _checked(expression: Constant | Operation, text: str) -> Expression:
    """Refuse constants that are not finite real numbers of ordinary size."""
    if any(True for _ in leaves(expression)):
        return expression
    try:
        with np.errstate(all="ignore"):
            if isinstance(expression, Operation) and expression.symbol == "**":
                base, exponent = (float(_constant(a)) for a in expression.arguments)
                digits = abs(exponent * math.log2(abs(base) or 1.0))
                fine = digits < 1000
            else:
                fine = True
            value = _constant(expression) if fine else math.inf
        fine = isinstance(value, float) and math.isfinite(value)
    except (ArithmeticError, ValueError):
        fine = False
    if not fine:
        raise refusal(
            f"a constant in {shorten(text)} that is no finite real number",
            "finite real constants",
        )
    return expression


def _constant(expression: Expression) -> Any:
    """Evaluate an expression without variables."""

    def nothing(leaf: Leaf) -> Floats:
        raise ValueError(leaf)

    return evaluate(expression, nothing)
