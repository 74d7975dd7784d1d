"""Fixed effects taken out of columns that lie in blocks: the levels α, not the rows.

The same normal equations as in memory (:mod:`blpdask.problem.absorption`), with

    residual_j = y_j - Σ_e α_e[e(j)],

where e(j) is row j's group of effect e. Nothing as long as the data comes to the driver
and no counts of pairs of levels, which can be as many as rows: a product with
D₂'(I - P₁) D₂ is two reductions, one that sums D₂ α within the groups of the largest
effect and one that sums what is left within all other groups. Conjugate gradients on
all of D'D would need one reduction a step but, for two effects, twice the steps, and
both ways of a reduction would carry the levels of all effects.

Every sum over rows is exact (:mod:`blpdask.moments.grouped_sums`): the levels have the
same bits whatever the cut of the blocks, their order and the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..driver.engine import Pass, Placement
from ..errors import Faults
from ..moments.grouped_sums import (
    BITS,
    BITS_OF_SQUARES,
    Columns,
    GroupedSums,
    SumsState,
    Survey,
    SurveyState,
    split_at,
    squares_pass,
    sums_pass,
    survey_pass,
)
from ..progress import Listener, StepEvent, silent
from ..records import Floats
from .absorption_options import AbsorptionControls
from .normal_equations import ROUNDING, Projection, project, warn_unless_converged

#: Levels ``(G_e, K)``, with the place of their effect.
OfEffect = tuple[int, Floats]
#: Bytes that a state or a record may have, where one column's levels have fewer.
LARGEST_MESSAGE = 32 * 2**20
#: Numbers whose squares, summed, are beyond range.
LARGEST_NUMBER = 1e140


@dataclass(frozen=True, slots=True)
class AbsorbedLevels:
    """What to subtract from a row, by the groups that it belongs to.

    Attributes
    ----------
    levels
        For each effect ``(G_e, K)`` α_e; the residual of row j is
        y_j - Σ_e α_e[e(j)] (see :func:`blpdask.moments.grouped_sums.subtract_levels`).
    iterations
        Conjugate gradient steps taken; zero for one effect.
    converged
        Whether the last correction was below the tolerance in every column.
    correction
        ``(K,)`` norm of the last correction of each column over the column's norm.
    """

    levels: tuple[Floats, ...]
    iterations: int
    converged: bool
    correction: Floats


def absorb_over_blocks(
    placement: Placement,
    *,
    columns: Literal["data", "errors"],
    level_counts: tuple[int, ...],
    controls: AbsorptionControls,
    beta: Floats | None = None,
    anchor: str | None = None,
    equation: int = 0,
    listener: Listener = silent,
) -> AbsorbedLevels:
    """Find the levels of fixed effects in columns of all blocks.

    Parameters
    ----------
    placement
        Blocks with linear rows.
    columns
        ``"data"``: [X | Z], with Z as it was given; ``"errors"``: y - X b, both of an
        equation, [X1 | ZD] and δ - X1 β on the demand side.
    level_counts
        For each effect, the number of its groups, all blocks together.
    controls
        When to stop.
    beta, anchor
        ``(K,)`` b and the name of the evaluation that y is remembered of, for errors.
    equation
        Place of the equation, 0 for demand's and 1 for supply's.
    listener
        Told after every pass.

    Returns
    -------
    AbsorbedLevels
        Levels, and how they were reached.

    Raises
    ------
    InputError
        If columns or codes are not what they should be, in any block.

    Warns
    -----
    NumericalWarning
        If the tolerance was not reached.
    """
    if not level_counts:
        return AbsorbedLevels((), 0, True, np.zeros(0))
    if columns == "errors":
        _check_errors(beta, anchor)
    flat = None if beta is None else np.ravel(beta)
    state = SurveyState(columns, flat, level_counts, equation)
    survey: Survey = placement.reduce(survey_pass, state, anchor=anchor)
    _check(survey, columns, level_counts)
    rows = _SomeColumns(placement, state, survey, anchor)
    parts = []
    for first, stop in rows.a_few_at_a_time():
        listener(_announcement(level_counts, first, stop, survey.maxima.shape[1]))
        rows.choose(first, stop)
        parts.append((_take_out(rows, controls, listener), rows.levels))
    how = _join([projection for projection, _ in parts])
    warn_unless_converged(how, len(level_counts))
    joined = zip(*(levels for _, levels in parts), strict=True)
    levels = tuple(np.hstack(of_effect) for of_effect in joined)
    return AbsorbedLevels(levels, how.iterations, how.converged, how.correction)


def _take_out(
    rows: _SomeColumns, controls: AbsorptionControls, listener: Listener
) -> Projection:
    """Take all effects out of a few columns."""
    rows.take_out_first()
    if rows.n_effects == 1:
        # The second time takes off the first one's rounding.
        rows.take_out_first()
        return Projection(0, True, np.zeros(rows.n_columns))
    tolerance, limit = controls.tolerance, controls.max_iterations
    return project(rows, rows.norms(), tolerance, limit, listener)


class _SomeColumns:
    """A few columns of the blocks, the levels found so far, and their equations.

    Residuals are implied by the levels; they exist only in a block, during a pass.
    """

    def __init__(
        self,
        placement: Placement,
        state: SurveyState,
        survey: Survey,
        anchor: str | None,
    ) -> None:
        """Put the effect with most levels first."""
        self._placement = placement
        self._columns: Columns = state.columns
        self._beta = state.beta
        self._equation = state.equation
        self._anchor = anchor
        self._maxima = survey.maxima.max(axis=0)
        self._counts = state.level_counts
        ends = np.cumsum(self._counts)[:-1]
        self._sizes = np.split(survey.sizes.astype(np.float64), ends)
        self._n_rows = int(self._sizes[0].sum())
        present = [np.count_nonzero(sizes) for sizes in self._sizes]
        self._first = int(np.argmax(present))
        self._rest = tuple(e for e in range(self.n_effects) if e != self._first)
        self._chosen = (0, 0)
        self.levels: list[Floats] = []

    @property
    def n_effects(self) -> int:
        """Count the effects."""
        return len(self._counts)

    @property
    def n_columns(self) -> int:
        """Count the columns chosen, K."""
        return self._chosen[1] - self._chosen[0]

    @property
    def sizes(self) -> Floats:
        """Rows of every level of the other effects, ``(L,)``."""
        return np.concatenate([self._sizes[place] for place in self._rest])

    def a_few_at_a_time(self) -> list[tuple[int, int]]:
        """Split the columns so that states and records are not too large."""
        n_columns = self._maxima.size
        n_folds = len(split_at(np.ones(1), self._largest_group()))
        of_first, of_all = self._counts[self._first], sum(self._counts)
        summed = max(of_first, of_all - of_first)
        of_one = 8 * max(of_all + of_first, n_folds * summed)
        step = max(1, LARGEST_MESSAGE // of_one)
        firsts = range(0, max(n_columns, 1), step)
        return [(first, min(first + step, n_columns)) for first in firsts]

    def choose(self, first: int, stop: int) -> None:
        """Start with columns ``first``..``stop - 1`` as they are."""
        self._chosen = (first, stop)
        shapes = [(count, self.n_columns) for count in self._counts]
        self.levels = [np.zeros(shape, order="F") for shape in shapes]

    def norms(self) -> Floats:
        """Norms of the residuals, rounding of the columns added, ``(K,)``."""
        bounds = self._bounds(self._columns, self._found()) ** 2
        splitters = split_at(bounds, self._n_rows, BITS_OF_SQUARES)
        state = self._state(self._columns, self._found(), (), splitters)
        raw, left = np.sqrt(self._reduce(squares_pass, state))
        norms = left + ROUNDING * raw
        return np.where(norms > 0.0, norms, 1.0)

    def multiply(self, levels: Floats) -> Floats:
        """Multiply by S = D₂'(I - P₁) D₂, ``(L, K)``."""
        split = self._split(levels)
        # Levels are subtracted from zeros, hence the signs.
        means = self._means("zeros", split)
        return -self._sums("zeros", [*split, (self._first, means)], self._rest)

    def left_over(self) -> Floats:
        """Sum the residuals within every level of the other effects, ``(L, K)``.

        The means that rounding of levels left of the first effect are taken out before:
        the equations have a solution only where there are none.
        """
        found = self._found()
        means = self._means(self._columns, found)
        return self._sums(self._columns, [*found, (self._first, means)], self._rest)

    def take_out(self, levels: Floats) -> None:
        """Subtract levels of the other effects, then the first effect's means."""
        for place, part in self._split(levels):
            self.levels[place] = self.levels[place] + part
        self.take_out_first()

    def take_out_first(self) -> None:
        """Subtract the means of the residuals by the first effect."""
        means = self._means(self._columns, self._found())
        self.levels[self._first] = self.levels[self._first] + means

    def _found(self) -> list[OfEffect]:
        """List the levels found, the first effect's, which are large, before others.

        So little is lost where a row is close to its group's mean (Sterbenz 1974).
        """
        return [(place, self.levels[place]) for place in (self._first, *self._rest)]

    def _split(self, levels: Floats) -> list[OfEffect]:
        """Give each of the other effects its levels."""
        ends = np.cumsum([self._counts[place] for place in self._rest])
        return list(zip(self._rest, np.split(levels, ends[:-1]), strict=True))

    def _means(self, columns: Columns, levels: Sequence[OfEffect]) -> Floats:
        """Average columns less levels by the first effect; 0 where there is no row."""
        sums = self._sums(columns, levels, (self._first,))
        return sums / np.maximum(self._sizes[self._first], 1.0)[:, None]

    def _sums(
        self, columns: Columns, levels: Sequence[OfEffect], by: tuple[int, ...]
    ) -> Floats:
        """Sum columns less levels within the groups of some effects, ``(G, K)``."""
        bounds = self._bounds(columns, levels)
        splitters = split_at(bounds, self._largest_group(), BITS)
        return self._reduce(sums_pass, self._state(columns, levels, by, splitters))

    def _reduce(self, pass_: Pass, state: SumsState) -> Floats:
        """Run a pass over all blocks; only errors need what blocks remember."""
        anchor = self._anchor if state.columns == "errors" else None
        sums: GroupedSums = self._placement.reduce(pass_, state, anchor=anchor)
        return sums.total

    def _state(
        self,
        columns: Columns,
        levels: Sequence[OfEffect],
        by: tuple[int, ...],
        splitters: Floats,
    ) -> SumsState:
        first, stop = self._chosen
        return SumsState(
            columns=columns,
            beta=self._beta,
            first=first,
            stop=stop,
            levels=tuple(alpha for _, alpha in levels),
            of=tuple(place for place, _ in levels),
            by=by,
            level_counts=self._counts,
            splitters=splitters,
            equation=self._equation,
        )

    def _bounds(self, columns: Columns, levels: Sequence[OfEffect]) -> Floats:
        """Bound |y - Σ_e α_e[e(j)]|, rounding included, ``(K,)``."""
        bounds = np.zeros(self.n_columns)
        if columns != "zeros":
            bounds = self._maxima[slice(*self._chosen)]
        for _, alpha in levels:
            bounds = bounds + np.abs(alpha).max(axis=0, initial=0.0)
        return bounds * (1 + 2.0**-40)

    def _largest_group(self) -> int:
        return int(max(sizes.max(initial=1.0) for sizes in self._sizes))


def _check_errors(beta: Floats | None, anchor: str | None) -> None:
    """Check that errors can be computed."""
    faults = Faults("absorption of errors over blocks")
    if beta is None:
        faults.add("no beta", "(K1,) coefficients", "pass beta")
    if anchor is None:
        faults.add(
            "no anchor", "the name of a remembered evaluation", "keep one and name it"
        )
    faults.check()


def _check(survey: Survey, columns: str, level_counts: Sequence[int]) -> None:
    """Check what all blocks together have found."""
    faults = Faults("absorption over blocks")
    for place, (n, count) in enumerate(
        zip(survey.misplaced, level_counts, strict=True)
    ):
        if n:
            faults.add(
                f"{n} rows with codes of effect {place} outside 0..{count - 1}",
                f"codes of {count} levels",
                "write the blocks again; codes are the same in all blocks",
            )
    if survey.not_finite:
        faults.add(
            f"{survey.not_finite} rows of {columns} that are not finite",
            "finite numbers",
            "find the rows with numpy.isfinite and mend or drop them"
            if columns == "data"
            else "evaluate where all markets converge",
        )
    elif (largest := float(survey.maxima.max(initial=0.0))) > LARGEST_NUMBER:
        faults.add(
            f"numbers as large as {largest:.1e}",
            f"none above {LARGEST_NUMBER:.0e}",
            "scale the column down",
        )
    faults.check()


def _announcement(
    level_counts: Sequence[int], first: int, stop: int, n_columns: int
) -> StepEvent:
    listed = " and ".join(str(count) for count in level_counts)
    return StepEvent(
        0,
        f"absorbing effects of {listed} levels over blocks: columns {first + 1} to "
        f"{stop} of {n_columns}",
    )


def _join(projections: Sequence[Projection]) -> Projection:
    """Say of all columns what was said of a few at a time."""
    return Projection(
        iterations=sum(how.iterations for how in projections),
        converged=all(how.converged for how in projections),
        correction=np.concatenate([how.correction for how in projections]),
    )
