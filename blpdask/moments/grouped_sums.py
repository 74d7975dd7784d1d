"""Sums of columns within groups that are exact, whatever the order or cut of the rows.

Floating-point addition is not associative, so that a sum over blocks would depend on
the cut. Before they are added, values are therefore rounded to a common grid, coarse
enough for every partial sum to be exact (Rump, Ogita and Oishi 2008; Demmel and Nguyen
2015). For |v| < 2^m and groups of at most 2^n rows let σ = 1.5·2^(m+n). Then

    q = (v + σ) - σ

is v rounded to a multiple of g = 2^(m+n-52), and r = v - q, with |r| ≤ g/2, is exact.
Partial sums of q are multiples of g below 2^52 g: no addition rounds. What is left, r,
is folded in the same way, with 2^(m+n-53) in place of 2^m. F folds leave

    |r| ≤ 2^(F(n-53)) 2^m

of a row, so the sum of a group of N rows is off by at most 2^(F(n-53)) N max|v|, which
two folds keep far below the rounding of the sum itself: 2^-66 N max|v| for a million
rows.

References
----------
Rump, Ogita and Oishi (2008), "Accurate Floating-Point Summation Part I: Faithful
Rounding"; Demmel and Nguyen (2015), "Parallel Reproducible Summation".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from ..model.inversion import InversionMemory
from ..records import JOINED, Equation, Floats, Integers, MarketBlock

#: Columns of a block: [X | Z] of an equation ([X1 | ZD] on the demand side), y - X b
#: (δ - X1 β there), or zeros from which levels are subtracted.
Columns = Literal["data", "errors", "zeros"]
#: What folds leave of a row is below 2^-BITS of the largest value.
BITS = 64
#: The same for squares, whose roots are wanted.
BITS_OF_SQUARES = 120


@dataclass(frozen=True, slots=True)
class SurveyState:
    """What to look at.

    Attributes
    ----------
    columns
        Which columns of a block.
    beta
        ``(K,)`` b where the columns are y - X b.
    level_counts
        G of every effect.
    equation
        Place of the equation whose columns and effects these are.
    """

    columns: Columns
    beta: Floats | None
    level_counts: tuple[int, ...]
    equation: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """How large columns and groups are, and what is wrong with them.

    Attributes
    ----------
    sizes
        ``(G,)`` rows of every level, the levels of all effects numbered through.
    not_finite
        Rows with a value that is not finite.
    misplaced
        ``(E,)`` rows of each effect whose code is not one of its levels.
    maxima
        ``(B, K)`` largest absolute value of each column, a row a block.
    """

    #: Counts are exact; nobody asks for the order of the maxima.
    order_free: ClassVar[bool] = True

    sizes: Integers
    not_finite: int
    misplaced: Integers
    maxima: Floats = field(metadata=JOINED)


@dataclass(frozen=True, slots=True)
class SumsState:
    """What to sum: columns less the levels of effects, by the levels of some effects.

    Attributes
    ----------
    columns, beta, equation
        As in :class:`SurveyState`.
    first, stop
        The columns ``first``..``stop - 1`` of them, K in number.
    levels, of
        ``(G_e, K)`` what to subtract, in this order, each with the place of its effect.
    by
        Places of the effects within whose groups is summed.
    level_counts
        G of every effect.
    splitters
        ``(F, K)`` σ of each fold and column (see :func:`split_at`).
    """

    columns: Columns
    beta: Floats | None
    first: int
    stop: int
    levels: tuple[Floats, ...]
    of: tuple[int, ...]
    by: tuple[int, ...]
    level_counts: tuple[int, ...]
    splitters: Floats
    equation: int = 0


@dataclass(frozen=True, slots=True)
class GroupedSums:
    """Sums within groups, fold by fold.

    Attributes
    ----------
    folds
        ``(F, K, G)``, the levels of all effects summed by numbered through.
    """

    order_free: ClassVar[bool] = True

    folds: Floats

    @property
    def total(self) -> Floats:
        """Add the folds, the small ones first, ``(G, K)``."""
        total: Floats = self.folds[-1].copy()
        for fold in self.folds[-2::-1]:
            total += fold
        return total.T


def survey_pass(
    block: MarketBlock, state: SurveyState, memory: InversionMemory | None
) -> tuple[Survey, None]:
    """Count the rows of every level and find the columns' largest values."""
    values = columns_of(block, state, memory)
    sizes, misplaced = [], []
    effects = effects_of(block, state.equation)
    for codes, n_levels in zip(effects, state.level_counts, strict=True):
        placed = (codes >= 0) & (codes < n_levels)
        sizes.append(np.bincount(codes[placed], minlength=n_levels))
        misplaced.append(np.count_nonzero(~placed))
    survey = Survey(
        sizes=np.concatenate(sizes),
        not_finite=int(np.count_nonzero(~np.isfinite(values).all(axis=1))),
        misplaced=np.array(misplaced, np.int64),
        maxima=np.abs(values).max(axis=0, initial=0.0, keepdims=True),
    )
    return survey, None


def sums_pass(
    block: MarketBlock, state: SumsState, memory: InversionMemory | None
) -> tuple[GroupedSums, None]:
    """Sum a block's columns, less the levels, within groups."""
    effects = effects_of(block, state.equation)
    _, left = _raw_and_left(block, state, memory)
    codes = [effects[place] for place in state.by]
    n_levels = [state.level_counts[place] for place in state.by]
    return GroupedSums(exact_sums(left, codes, n_levels, state.splitters)), None


def squares_pass(
    block: MarketBlock, state: SumsState, memory: InversionMemory | None
) -> tuple[GroupedSums, None]:
    """Sum squares of a block's columns, raw and less the levels, ``(2, K)``."""
    both = _raw_and_left(block, state, memory)
    one = np.zeros(block.n_products, np.int64)
    folds = [exact_sums(v**2, [one], [1], state.splitters) for v in both]
    return GroupedSums(np.concatenate(folds, axis=2)), None


def columns_of(
    block: MarketBlock,
    state: SurveyState | SumsState,
    memory: InversionMemory | None,
    first: int = 0,
    stop: int | None = None,
) -> Floats:
    """Compute columns ``first``..``stop - 1`` of a block, ``(N, K)``, column-major.

    Every value depends on its own row alone, to the last bit, so that a row is the same
    in every block that it may be cut into.

    Parameters
    ----------
    block
        With linear rows.
    state
        Which columns, and b for errors.
    memory
        Holds δ and c̃, for errors.
    first, stop
        Which of the columns; all by default.
    """
    if state.columns == "zeros":
        assert stop is not None
        return np.zeros((block.n_products, stop - first), order="F")
    assert block.linear is not None
    equation = block.linear().equations[state.equation]
    if state.columns == "data":
        K = equation.X.shape[1]
        Z = instruments_of(block, state.equation)
        parts = equation.X[:, first:stop], Z[:, max(first - K, 0) : _less(stop, K)]
        return np.vstack([part.T for part in parts]).T
    assert state.beta is not None and memory is not None
    y = memory.costs if state.equation else memory.delta
    return errors_of(y, equation, state.beta)[:, first:stop]


def errors_of(y: Floats | None, equation: Equation, b: Floats) -> Floats:
    """Compute y - X b, ``(N, 1)``, row by row."""
    errors = np.array(y, dtype=np.float64)
    # Errors that are not finite are counted by the survey.
    with np.errstate(over="ignore", invalid="ignore"):
        for coefficient, column in zip(b, equation.X.T, strict=True):
            errors -= coefficient * column
    return errors[:, None]


def instruments_of(block: MarketBlock, equation: int = 0) -> Floats:
    """Give the instruments of an equation as kernels see them, ``(N, M)``."""
    if not equation:
        return block.ZD
    assert block.supply is not None
    return block.supply.ZS


def effects_of(block: MarketBlock, equation: int = 0) -> tuple[Integers, ...]:
    """Give the codes of the absorbed effects of an equation, ``(N,)`` each."""
    assert block.linear is not None
    return block.linear().equations[equation].effects


def subtract_levels(
    values: Floats, effects: Sequence[Integers], levels: Sequence[Floats]
) -> Floats:
    """Compute y - Σ_e α_e[codes_e], effect after effect.

    Parameters
    ----------
    values
        ``(N, K)`` y.
    effects
        For each effect, ``(N,)`` codes.
    levels
        For each effect, ``(G_e, K)`` α_e.

    Examples
    --------
    >>> y, codes = np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1])
    >>> subtract_levels(y, [codes], [np.array([[2.0], [5.0]])]).tolist()
    [[-1.0], [1.0], [0.0]]
    """
    left = np.array(values, order="F")
    for codes, alpha in zip(effects, levels, strict=True):
        for k, column in enumerate(alpha.T):
            left[:, k] -= np.take(column, codes)
    return left


def split_at(bounds: Floats, largest: int, bits: int = BITS) -> Floats:
    """Compute σ of every fold and column, ``(F, K)``.

    Parameters
    ----------
    bounds
        ``(K,)`` that no absolute value of a column exceeds.
    largest
        Rows of the largest group, all blocks together.
    bits
        What the folds leave of a row is at most 2^-bits of twice its column's bound.

    Examples
    --------
    >>> split_at(np.array([1.0]), largest=1000).shape
    (2, 1)
    """
    n = max(2, int(largest - 1).bit_length())
    n_folds = -(-bits // (53 - n))
    m = np.frexp(bounds)[1]
    exponents = m + n + (n - 53) * np.arange(n_folds)[:, None]
    return np.where(bounds > 0, np.ldexp(1.5, exponents), 0.0)


def exact_sums(
    values: Floats,
    codes: Sequence[Integers],
    level_counts: Sequence[int],
    splitters: Floats,
) -> Floats:
    """Sum columns within the groups of each of several effects, ``(F, K, G)``.

    Parameters
    ----------
    values
        ``(N, K)``.
    codes
        For each effect, ``(N,)`` codes in 0..G_e - 1.
    level_counts
        G_e of each effect; their levels are numbered through in the sums.
    splitters
        ``(F, K)`` of :func:`split_at`, from bounds that hold for all blocks.
    """
    ends = np.cumsum([0, *level_counts])
    sums = np.empty((*splitters.shape, ends[-1]))
    for k, column in enumerate(values.T):
        left = column.copy()
        for fold, splitter in enumerate(splitters[:, k]):
            part = (left + splitter) - splitter
            left -= part
            for place, own in enumerate(codes):
                found = np.bincount(own, part, level_counts[place])
                sums[fold, k, ends[place] : ends[place + 1]] = found
    return sums


def _raw_and_left(
    block: MarketBlock, state: SumsState, memory: InversionMemory | None
) -> tuple[Floats, Floats]:
    """Give a block's columns, and what is left of them less the levels."""
    effects = effects_of(block, state.equation)
    raw = columns_of(block, state, memory, state.first, state.stop)
    return raw, subtract_levels(raw, [effects[e] for e in state.of], state.levels)


def _less(stop: int | None, n: int) -> int | None:
    """Shift the end of a slice, which is not to become negative."""
    return None if stop is None else max(stop - n, 0)
