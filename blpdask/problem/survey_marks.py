"""``second(...)`` in formulas of surveys: columns of the second choice.

Within it every column x is that of the second choice k and not of the first one j, and
stands in the formula's tree under the name ``second(x)``:

    prices * second(log(prices))  ->  prices * log(second(prices)),   p_j log p_k.

What has no column is multiplied by ``second(1)``, which is one, so that a formula can
say that second choices were asked for and nothing more.
"""

from __future__ import annotations

import ast

from .formula_expressions import DEEPEST, Leaf, refusal

SECOND = "second"
#: The column that is one for every choice.
ONE = "1"


def mark_second(node: ast.expr, text: str) -> ast.expr:
    """Rename columns within ``second(...)`` in a syntax tree.

    Parameters
    ----------
    node
        The tree.
    text
        The formula, for messages.

    Raises
    ------
    InputError
        Where ``second`` has not one argument, or is within another.
    """
    return _mark(node, text, 0, within=False)


def column_of(leaf: Leaf) -> tuple[str, bool]:
    """Tell which column a leaf means, and whether of the second choice."""
    prefix = f"{SECOND}("
    if leaf.name.startswith(prefix):
        return leaf.name[len(prefix) : -1], True
    return leaf.name, False


def _mark(node: ast.expr, text: str, depth: int, *, within: bool) -> ast.expr:
    """Rename columns, all of them within; what is too deep is refused later."""
    if depth > DEEPEST:
        return node

    def inside(part: ast.expr) -> ast.expr:
        return _mark(part, text, depth + 1, within=within)

    match node:
        case ast.Name(id=name) if within:
            return ast.Name(_named(name))
        case ast.BinOp(left=left, op=operator, right=right):
            return ast.BinOp(inside(left), operator, inside(right))
        case ast.UnaryOp(op=sign, operand=operand):
            return ast.UnaryOp(sign, inside(operand))
        case ast.Call(func=ast.Name(id=name)) if name == SECOND:
            return _second(node, text, depth, within=within)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            return ast.Call(function, [inside(part) for part in arguments], keywords)
    return node


def _second(node: ast.Call, text: str, depth: int, *, within: bool) -> ast.expr:
    """Rename what is within one ``second(...)``."""
    if within or len(node.args) != 1 or node.keywords:
        raise refusal(
            f"the call '{ast.unparse(node)}' in '{text}'",
            "second(...) of one formula of columns, and not within another second(...)",
        )
    marked = _mark(node.args[0], text, depth + 1, within=True)
    if any(isinstance(part, ast.Name) and "(" in part.id for part in ast.walk(marked)):
        return marked
    return ast.BinOp(marked, ast.Mult(), ast.Name(_named(ONE)))


def _named(name: str) -> str:
    """Name a column of the second choice."""
    return f"{SECOND}({name})"
