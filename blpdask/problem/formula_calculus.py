"""Exact derivatives of a column, and how a column is printed.

A column's utility or cost effect is differentiated for elasticities, markups and
marginal costs: with ``I(prices ** 2)`` the analyst needs ∂x/∂p = 2p. SymPy does the
calculus and the printing, so columns are called what PyBLP calls them (Conlon and
Gortmaker 2020); products and lone variables, the usual case, never wake it.
"""

from __future__ import annotations

from typing import Any

from .formula_expressions import (
    Constant,
    Expression,
    Indicator,
    Leaf,
    Operation,
    Variable,
    leaves,
    product,
)


def differentiate(expression: Expression, name: str, order: int = 1) -> Expression:
    """Differentiate an expression.

    Parameters
    ----------
    expression
        What to differentiate.
    name
        Variable with respect to which.
    order
        How many times, at least once.

    Returns
    -------
    Expression
        ∂ⁿ(expression)/∂(name)ⁿ, exact. Indicators are constants.

    Examples
    --------
    >>> differentiate(Operation("*", (Variable("x"), Variable("y"))), "x")
    Variable(name='y')
    """
    for _ in range(order):
        expression = _differentiate_once(expression, name)
    return expression


def print_product(factors: tuple[Expression, ...]) -> str:
    """Print a product of factors as SymPy does, which is as PyBLP does."""
    leaves_only = _product_of_leaves(product(factors))
    if leaves_only is not None and len(set(leaves_only)) == len(leaves_only):
        return "*".join(sorted(_label(factor) for factor in leaves_only)) or "1"
    symbols = _symbols(product(factors))
    written = _to_sympy(factors[0], symbols)
    for factor in factors[1:]:
        written = written * _to_sympy(factor, symbols)
    return str(written)


def _differentiate_once(expression: Expression, name: str) -> Expression:
    """Differentiate once, by hand where the variable is one factor of a product."""
    variable = Variable(name)
    if not any(leaf == variable for leaf in leaves(expression)):
        return Constant(0)
    factors = _product_of_leaves(expression)
    if factors is not None and factors.count(variable) == 1:
        return product(tuple(factor for factor in factors if factor != variable))
    symbols = _symbols(expression)
    derivative = _to_sympy(expression, symbols).diff(symbols[variable])
    return _from_sympy(derivative, {symbol: leaf for leaf, symbol in symbols.items()})


def _product_of_leaves(expression: Expression) -> tuple[Leaf, ...] | None:
    """List the factors of a plain product of variables and indicators."""
    if isinstance(expression, Constant):
        return () if expression.value == 1 else None
    if not isinstance(expression, Operation):
        return (expression,)
    if expression.symbol != "*":
        return None
    factors: list[Leaf] = []
    for argument in expression.arguments:
        if isinstance(argument, Constant | Operation):
            return None
        factors.append(argument)
    return tuple(factors)


def _label(leaf: Leaf) -> str:
    """Name a variable or an indicator."""
    return leaf.label if isinstance(leaf, Indicator) else leaf.name


def _symbols(expression: Expression) -> dict[Leaf, Any]:
    """Give every leaf its SymPy symbol."""
    import sympy

    return {leaf: sympy.Symbol(_label(leaf)) for leaf in leaves(expression)}


def _to_sympy(expression: Expression, symbols: dict[Leaf, Any]) -> Any:
    """Write an expression in SymPy without simplifying it."""
    import sympy

    if isinstance(expression, Constant):
        return sympy.sympify(expression.value)
    if not isinstance(expression, Operation):
        return symbols[expression]
    first, last = expression.arguments[0], expression.arguments[-1]
    match expression.symbol:
        case "+":
            return sympy.Add(*_flat(expression, "+-", symbols), evaluate=False)
        case "-":
            minus = sympy.Mul(-1, _to_sympy(last, symbols), evaluate=False)
            return sympy.Add(*_flat(first, "+-", symbols), minus, evaluate=False)
        case "*":
            return sympy.Mul(*_flat(expression, "*/", symbols), evaluate=False)
        case "/":
            inverse = sympy.Pow(_to_sympy(last, symbols), -1, evaluate=False)
            return sympy.Mul(*_flat(first, "*/", symbols), inverse, evaluate=False)
        case "**":
            base, exponent = (_to_sympy(a, symbols) for a in expression.arguments)
            return sympy.Pow(base, exponent, evaluate=False)
        case "neg":
            return -_to_sympy(first, symbols)
        case "log":
            return sympy.log(_to_sympy(first, symbols), evaluate=False)
        case _:
            return sympy.exp(_to_sympy(first, symbols), evaluate=False)


def _flat(expression: Expression, family: str, symbols: dict[Leaf, Any]) -> list[Any]:
    """Write sums of sums, or products of products, as one."""
    if not isinstance(expression, Operation) or expression.symbol not in family:
        return [_to_sympy(expression, symbols)]
    if expression.symbol in "-/":
        return list(_to_sympy(expression, symbols).args)
    return [part for a in expression.arguments for part in _flat(a, family, symbols)]


def _from_sympy(tree: Any, found: dict[Any, Leaf]) -> Expression:
    """Read an expression back from SymPy."""
    import sympy

    if tree.is_Symbol:
        return found[tree]
    if tree.is_Integer:
        return Constant(int(tree))
    if tree.is_number:
        return Constant(float(tree))
    symbols = {
        sympy.Add: "+",
        sympy.Mul: "*",
        sympy.Pow: "**",
        sympy.log: "log",
        sympy.exp: "exp",
    }
    arguments = tuple(_from_sympy(argument, found) for argument in tree.args)
    return Operation(symbols[tree.func], arguments)
