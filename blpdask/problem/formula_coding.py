"""Which categorical factors get all their dummies in a term, and which all but one.

A term spans a space; part of it may be spanned by earlier terms. Write a factor's
full set of dummies as 1 + a⁻, where a⁻ leaves out the first level. A term a:b is then
1 + a⁻ + b⁻ + a⁻b⁻; what earlier terms hold already is struck out, and what is left is
gathered again by 1 + a⁻ = a⁺ (full dummies), b⁻ + a⁻b⁻ = a⁺b⁻, and so on, greedily from
left to right (Chambers and Hastie 1992, section 2.4; the same rules as patsy's).
Terms with different numeric factors never share a space.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import combinations
from typing import TypeAlias

from .formula_terms import Term

Coding: TypeAlias = dict[str, bool]
"""Full (True) or reduced (False) dummies of each categorical factor, by label."""


def code_terms(
    terms: Iterable[Term], categorical: Container[str]
) -> dict[Term, tuple[Coding, ...]]:
    """Choose the dummies of every term.

    Parameters
    ----------
    terms
        Terms of one matrix.
    categorical
        Labels of the factors that are categorical.

    Returns
    -------
    dict
        For each term the parts that make it up, in order; a part says for each of its
        categorical factors whether it is coded in full. Numeric factors multiply every
        part. A term whose space is spanned by earlier ones has no parts.
    """
    codings: dict[Term, tuple[Coding, ...]] = {}
    spanned: dict[frozenset[str], set[frozenset[str]]] = {}
    for term in sorted(terms, key=lambda term: len(term.factors)):
        labels = [factor.label for factor in term.factors]
        dummies = [label for label in labels if label in categorical]
        numeric = frozenset(labels) - frozenset(dummies)
        used = spanned.setdefault(numeric, set())
        fresh = [part for part in _subsets(dummies) if part not in used]
        used.update(fresh)
        codings[term] = tuple(_gather([dict.fromkeys(part, False) for part in fresh]))
    return codings


def _subsets(labels: list[str]) -> list[frozenset[str]]:
    """List all subsets, small ones first."""
    sizes = range(len(labels) + 1)
    return [frozenset(part) for size in sizes for part in combinations(labels, size)]


def _gather(parts: list[Coding]) -> list[Coding]:
    """Merge parts while a shorter one fits into a longer one further on."""
    while (pair := _first_mergeable(parts)) is not None:
        shorter, longer = pair
        (extra,) = parts[longer].keys() - parts[shorter].keys()
        parts[longer] = {**parts[shorter], extra: True}
        del parts[shorter]
    return parts


def _first_mergeable(parts: list[Coding]) -> tuple[int, int] | None:
    """Find the first part that, with one reduced factor more, is a later part."""
    for i, shorter in enumerate(parts):
        for j in range(i + 1, len(parts)):
            longer = parts[j]
            if len(longer) == len(shorter) + 1 and shorter.items() <= longer.items():
                return i, j
    return None
