"""Read what is asked of choices after estimation, and ask it of all blocks.

See :class:`.choice_methods.ChoiceMethods`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.choice_answers import (
    AlternativeSums,
    Query,
    RowAnswers,
    alternatives_pass,
    rows_pass,
)
from ..choice_records import MixedCoefficients
from ..errors import Faults
from ..problem.asked_choice_rows import (
    AskedTable,
    KnownChoices,
    check_variable,
    read_asked,
)
from ..problem.asked_choices import AskedChoices
from ..problem.fields import check_table, field_names, some
from ..records import Floats
from .asked_blocks import require_problem
from .initial_states import place_initial_states
from .solve_checks import check_engine

if TYPE_CHECKING:
    from ..driver.engine import Engine
    from .choice_problem import ChoiceProblem
    from .choice_results import ChoiceResults

#: How answers about pairs of alternatives are given.
BY = ("situations", "alternatives")
#: Alternatives of which pairs are added up.
MOST_ALTERNATIVES = 5000
#: Pairs of rows that are listed.
MOST_PAIRS = 50_000_000


class ChoiceQuestion:
    """A question about choices: its arguments, checked, and how it is asked."""

    def __init__(
        self,
        results: ChoiceResults,
        what: str,
        conditional: Any = False,
        engine: Any = None,
        threads: Any = None,
    ) -> None:
        """Begin a question.

        Parameters
        ----------
        results
            Whose parameters and people are asked about.
        what
            Is asked for, for messages.
        conditional
            Whether given each person's own choices.
        engine, threads
            As in :meth:`blpdask.ChoiceProblem.solve`.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.
        """
        self.problem: ChoiceProblem = require_problem(results.problem)
        self.coefficients: MixedCoefficients = results.asked_coefficients
        self.theta: Floats = results.theta
        self.faults = Faults(what)
        if not isinstance(conditional, bool | np.bool_):
            self.faults.add(
                f"conditional={conditional!r}",
                "True or False",
                "say whether to ask given each person's own choices",
            )
        self.at: Any = results.asked_at(bool(conditional))
        self._machinery = engine, threads
        self._initial_states = results.initial_states

    @property
    def known(self) -> KnownChoices:
        """What the problem knows of its people and columns."""
        return KnownChoices(
            given=self.problem.given,
            columns=self.problem.table.columns,
            person_ids=self.problem.table.person_ids,
        )

    def variable(self, name: Any) -> str | None:
        """Check that a name is of a numeric variable of the formulation."""
        return check_variable(name, self.known, self.faults)

    def by_alternatives(self, by: Any) -> bool:
        """Check how answers are given."""
        if by not in BY:
            self.faults.add(
                f"by={by!r}", f"one of {', '.join(map(repr, BY))}", "correct by"
            )
        return bool(by == "alternatives")

    def read(
        self,
        choice_data: Any = None,
        variable: str | None = None,
        *,
        alternatives: bool = False,
    ) -> AskedTable:
        """Read the table that is asked about, the problem's own where None.

        Parameters
        ----------
        choice_data
            Other data of the same people.
        variable
            By which utility is differentiated.
        alternatives
            Whether alternatives must have ids.

        Raises
        ------
        InputError
            With every fault of the arguments and of the table.
        """
        given: Any = self.known.given if choice_data is None else choice_data
        if not check_table(given, self.faults):
            self.faults.check()
        if alternatives and "alternative_ids" not in field_names(given):
            self.faults.add(
                "no column 'alternative_ids'",
                "ids by which alternatives of all situations are the same",
                "add it to choice_data, or ask by='situations'",
            )
        self.faults.check()
        return read_asked(given, self.known, variable, self.faults)

    def changed(self, changes: Any) -> dict[str, Any]:
        """Change columns of the problem's table.

        Parameters
        ----------
        changes
            New values by name: numbers, or a value a row of ``choice_data``.
        """
        known = self.known
        allowed = {name for column in known.columns for name in column.names}
        allowed.add("availability")
        if not isinstance(changes, Mapping) or not changes:
            self.faults.add(
                f"changes of type {type(changes).__name__}",
                "a mapping from columns to new values, of one at least",
                "pass, for example, {'prices': 1.1 * data['prices']}",
            )
            return dict(known.given)
        table, N = dict(known.given), self.problem.table.n_given
        for name, values in changes.items():
            array = _read_values(values)
            if name not in allowed:
                self.faults.add(
                    f"a change of {name!r}",
                    f"changes of {some(sorted(allowed))}",
                    "change a column that utility or the choice set is made of",
                )
            elif array.shape not in ((), (N,), (N, 1)):
                self.faults.add(
                    f"new values of {name!r} of shape {array.shape}",
                    f"a number, or {N} values in the order of choice_data",
                    "give a value a row",
                )
            else:
                table[name] = np.broadcast_to(
                    array.reshape(-1) if array.ndim else array, (N,)
                )
        return table

    @property
    def source(self) -> Any:
        """Blocks of people, with draws that serve the question."""
        problem = self.problem
        if not self.at.conditional:
            return problem.prior_source
        if self._initial_states is not None:
            return place_initial_states(problem, self._initial_states)
        return problem.source

    def engine(self) -> Engine:
        """Choose the engine; all faults so far are raised first."""
        chosen = check_engine(*self._machinery, self.faults)
        self.faults.check()
        assert chosen is not None
        return chosen

    def reduce(self, source: Any, pass_: Any, state: Any) -> Any:
        """Map a pass over blocks."""
        placement = self.engine().place(source)
        try:
            return placement.reduce(pass_, state)
        finally:
            placement.close()

    def rows(self, table: AskedTable, question: str) -> RowAnswers:
        """Ask row by row; very many pairs of rows are refused."""
        n_pairs = int((table.asked.situations.sizes**2).sum())
        if question in ("slopes", "removals") and n_pairs > MOST_PAIRS:
            self.faults.add(
                f"{n_pairs} pairs of alternatives in all situations",
                f"at most {MOST_PAIRS} to be listed",
                "ask by='alternatives', or about part of the data at a time",
            )
            self.faults.check()
        source = AskedChoices(self.source, table.asked)
        found: RowAnswers = self.reduce(source, rows_pass, Query(self.at, question))
        return found

    def sums(
        self, table: AskedTable, question: str, *, scaled: bool = False
    ) -> AlternativeSums:
        """Ask for sums over alternatives; pairs of very many are refused."""
        assert table.alternative_ids is not None
        if (
            question != "probabilities"
            and table.alternative_ids.size > MOST_ALTERNATIVES
        ):
            self.faults.add(
                f"{table.alternative_ids.size} alternatives, and so a matrix of "
                f"{8 * table.alternative_ids.size**2 / 2**30:.1f} GiB",
                f"at most {MOST_ALTERNATIVES} that situations have in common",
                "ask by='situations', or give like alternatives the same ids",
            )
            self.faults.check()
        source = AskedChoices(self.source, table.asked)
        query = Query(self.at, question, table.alternative_ids.size, scaled)
        found: AlternativeSums = self.reduce(source, alternatives_pass, query)
        return found


def _read_values(values: Any) -> np.ndarray[Any, Any]:
    """Read new values; what is no array is one of no values."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.empty(0)
