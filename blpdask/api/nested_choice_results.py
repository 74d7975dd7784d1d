"""Results of the nested logit of people's choices."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.nested_choice_probabilities import nested_probabilities_pass
from ..choice_records import LikelihoodEstimates, MixedCoefficients
from ..errors import BlpdaskError
from ..model.nested_choices import NestedCoefficients
from ..moments.nested_choices import NestedState
from ..records import Floats
from ..results.choice_spreads import Spreads, compute_spreads
from .asked_blocks import ask_blocks, place_probabilities, require_problem
from .choice_results import ChoiceResults

if TYPE_CHECKING:
    from .nested_choice_problem import NestedChoiceProblem


class NestedChoiceResults(ChoiceResults):
    """Estimates of a :class:`blpdask.NestedChoiceProblem`.

    What :class:`blpdask.ChoiceResults` say of θ, fit and search these say too; θ is β,
    then those ρ that are not zero.
    """

    def __init__(
        self, estimates: LikelihoodEstimates, *, problem: NestedChoiceProblem
    ) -> None:
        """Pair estimates with their problem."""
        asked: Any = problem
        super().__init__(estimates, problem=asked)

    @property
    def nested(self) -> NestedCoefficients:
        """Which parameters there are."""
        found: Any = self.estimates.coefficients
        assert isinstance(found, NestedCoefficients)
        return found

    @property
    def nests(self) -> tuple[str, ...]:
        """Names of the nests, ``(H,)``."""
        return self.nested.nests

    @property
    def beta(self) -> Floats:
        """Coefficients of X, ``(K,)``."""
        return np.asarray(self.theta[: len(self.nested.labels)])

    @property
    def rho(self) -> Floats:
        """ρ of each nest, ``(H,)``, zero where it is held there or does not matter."""
        return self.nested.nest_rho(self.theta[len(self.nested.labels) :])

    @property
    def rho_se(self) -> Floats:
        """Standard errors of each nest's ρ, ``(H,)``, zero where ρ is no parameter."""
        return self.nested.nest_rho(self.standard_errors[len(self.nested.labels) :])

    @cached_property
    def spreads(self) -> Spreads:
        """How coefficients vary over people: of none they do."""
        labels = self.nested.labels
        plain = MixedCoefficients(labels, ("fixed",) * len(labels))
        K = len(labels)
        return compute_spreads(plain, self.beta, self.covariances[:K, :K])

    def _ask(self, what: str, conditional: Any, engine: Any, threads: Any) -> Any:
        """Refuse what averages over tastes of people."""
        del conditional, engine, threads
        raise BlpdaskError(
            f"found: {what} of a nested logit\n"
            "  expected: a logit or a mixed logit\n"
            "  what to do: ask for compute_probabilities, at data before and after a "
            "change"
        )

    def compute_probabilities(  # type: ignore[override]
        self, *, engine: Any = None, threads: int | None = None
    ) -> Floats:
        """Compute the probability of each alternative.

        Parameters
        ----------
        engine, threads
            As in :meth:`blpdask.NestedChoiceProblem.solve`.

        Returns
        -------
        Floats
            A probability a row of ``choice_data``, in its order: zero where it is not
            available and one where nothing else is.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.
        """
        problem = require_problem(self.problem)
        K = len(self.nested.labels)
        found = ask_blocks(
            "compute_probabilities",
            problem.source,
            nested_probabilities_pass,
            NestedState(self.nested, self.theta[:K], self.theta[K:]),
            (engine, threads),
        )
        return place_probabilities(problem.table, found.probabilities)
