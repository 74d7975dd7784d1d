"""Results of latent classes: tastes and shares of classes, and who is in them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import options
from ..analysis.class_probabilities import (
    ClassesAt,
    people_classes_pass,
)
from ..choice_records import LikelihoodEstimates, MixedCoefficients
from ..model.latent_classes import LatentClasses
from ..records import Floats
from ..results.choice_estimates_tables import ERRORS
from ..results.choice_spreads import Spreads
from ..results.class_estimates import (
    ClassEstimates,
    class_estimates,
    class_spreads,
    classes_html,
    classes_table,
)
from .asked_blocks import ask_blocks, require_problem
from .choice_results import ChoiceResults

if TYPE_CHECKING:
    import pandas as pd

    from .latent_class_problem import LatentClassProblem


class LatentClassResults(ChoiceResults):
    """Estimates of a :class:`blpdask.LatentClassProblem`.

    What :class:`blpdask.ChoiceResults` say of θ, fit and search these say too. Arrays
    on how coefficients vary, ``sigma`` and those like it, have a first axis of classes.

    Attributes
    ----------
    by_class
        Shares and parameters class by class.
    start_log_likelihoods
        ``(M,)`` where climbs of expectation maximisation ended, the highest first; of
        those that were not among the best, after their first passes.
    """

    def __init__(
        self,
        estimates: LikelihoodEstimates,
        *,
        problem: LatentClassProblem,
        start_log_likelihoods: Floats,
    ) -> None:
        """Pair estimates with their problem."""
        asked: Any = problem
        super().__init__(estimates, problem=asked)
        self._restore(
            {
                "start_log_likelihoods": start_log_likelihoods,
                "membership": problem.membership,
                "weights": problem.table.weights,
            }
        )

    @property
    def classes(self) -> LatentClasses:
        """How classes differ, and where parameters stand in θ."""
        found: Any = self.estimates.coefficients
        assert isinstance(found, LatentClasses)
        return found

    @property
    def shares(self) -> Floats:
        """Shares of the classes, averages over people, ``(Q,)``."""
        return self.by_class.shares

    @property
    def shares_se(self) -> Floats:
        """Standard errors of the shares, ``(Q,)``, by the delta method."""
        return self.by_class.shares_se

    @property
    def class_parameters(self) -> Floats:
        """Parameters class by class, ``(Q, C)``."""
        return self.by_class.values

    @property
    def class_parameters_se(self) -> Floats:
        """Standard errors of the parameters class by class, ``(Q, C)``."""
        return self.by_class.errors

    @cached_property
    def spreads(self) -> Spreads:
        """How random coefficients, before h, vary within classes."""
        return class_spreads(self.classes, self.theta, self.covariances)

    @property
    def asked_coefficients(self) -> MixedCoefficients:
        """What varies within classes, and how."""
        return self.classes.coefficients

    def asked_at(self, conditional: bool) -> ClassesAt:
        """Make what is sent to all blocks when something is asked."""
        return ClassesAt(self.classes, self.theta, conditional)

    def compute_class_probabilities(
        self,
        conditional: bool = True,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> pd.DataFrame:
        """Compute the probability that each person is of each class.

        Parameters
        ----------
        conditional
            Whether given the person's choices, h_iq, or before they are seen, π_iq.
        engine, threads
            As in :meth:`blpdask.ChoiceProblem.solve`.

        Returns
        -------
        pandas.DataFrame
            A row a person, by ``person_ids``, and a column a class, from 1 on.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.
        """
        import pandas as pd

        problem = require_problem(self.problem)
        found = ask_blocks(
            "compute_class_probabilities",
            problem.source,
            people_classes_pass,
            ClassesAt(self.classes, self.theta),
            (engine, threads),
        )
        return pd.DataFrame(
            found.posterior if conditional else found.prior,
            index=pd.Index(problem.table.person_ids, name="person_ids"),
            columns=pd.RangeIndex(1, self.classes.n_classes + 1, name="class"),
        )

    def to_class_frame(self) -> pd.DataFrame:
        """List parameters by class.

        Returns
        -------
        pandas.DataFrame
            A row a class and parameter, ``share`` first: ``class``, ``parameter``,
            ``estimate``, ``std_error``.
        """
        import pandas as pd

        found = self.by_class
        values = np.column_stack([found.shares, found.values])
        errors = np.column_stack([found.shares_se, found.errors])
        return pd.DataFrame(
            [
                {
                    "class": q + 1,
                    "parameter": label,
                    "estimate": values[q, c],
                    "std_error": errors[q, c],
                }
                for q in range(len(values))
                for c, label in enumerate(("share", *found.labels))
            ]
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the problem behind: results stand on their own."""
        names = ("by_class", "start_log_likelihoods", "membership", "weights")
        return super().__getstate__() | {name: getattr(self, name) for name in names}

    def _kept(self) -> dict[str, Floats]:
        """Give what shares of classes are made of."""
        names = ("start_log_likelihoods", "membership", "weights")
        return {name: getattr(self, name) for name in names}

    def _restore(self, kept: dict[str, Floats]) -> None:
        """Compute shares of classes from what they are made of."""
        self.start_log_likelihoods = kept["start_log_likelihoods"]
        self.membership, self.weights = kept["membership"], kept["weights"]
        self.by_class: ClassEstimates = class_estimates(
            self.classes,
            self.theta,
            self.covariances,
            membership=self.membership,
            weights=self.weights,
        )

    def __str__(self) -> str:
        """Print the fit, the search, estimates, and classes side by side."""
        error = ERRORS[self.se_type]
        table = classes_table(self.by_class, error, options.digits)
        return f"{super().__str__()}\n\n{table}"

    def _repr_html_(self) -> str:
        """Show classes side by side in a notebook."""
        ended = "converged" if self.converged else "not converged"
        return classes_html(
            self.by_class,
            f"Log-likelihood {self.log_likelihood:.8g}, {ended}, {self.S} situations "
            f"of {self.I} people; {ERRORS[self.se_type]} in parentheses",
        )
