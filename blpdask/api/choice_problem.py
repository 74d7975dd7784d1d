"""Choices of people: a table of alternatives and what varies in, estimates out.

Person i chooses in situation t the alternative of highest x_ijt'β_i + ε_ijt, with
extreme-value ε and

    β_ik = h_k(b_k + Σ_l L_kl z_il)

(:mod:`blpdask.choice_records`). Without random coefficients this is the conditional
logit; with them the likelihood of all choices of a person is an average over draws of
z (Revelt and Train 1998; McFadden and Train 2000).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from .. import options
from ..choice_records import MixedCoefficients
from ..estimators.likelihood_model import SimulatedLikelihood
from ..estimators.simulated_likelihood import maximise_likelihood
from ..integration.rules import Rule
from ..partitions.source import HeldBlocks
from ..problem.choice_blocks import make_blocks
from ..problem.choice_table import ChoiceTable, read_choices
from ..progress import Listener
from ..results.text_tables import Header, text_table
from .choice_checks import (
    check_choice_arguments,
    check_choice_solve,
    check_random,
    check_start,
)
from .choice_printing import choose_likelihood_listener
from .choice_results import ChoiceResults
from .choice_starts import default_start
from .formulation import Formulation
from .integration import Integration
from .optimization import Optimization

_DIMENSIONS = ("I", "S", "N", "K", "D", "R")


class ChoiceProblem:
    """A conditional or mixed logit of people's choices.

    Parameters
    ----------
    formulation
        Formulation of X. What the alternatives of a situation share cancels: an
        intercept is left out, so that ``1 + C(brand_ids) + prices`` has a dummy for all
        brands but the first, and any other shared column is an error.
    choice_data
        Table with a row an alternative, in any order: ``situation_ids``, ``chosen`` (1
        for what was chosen, else 0) and what the formulation names; optionally
        ``person_ids``, without which each situation is a person of its own;
        ``alternative_ids``, none of which stands twice in a situation; ``availability``
        (0 or 1; rows of 0 are left out); ``weights`` and ``clustering_ids``, each the
        same in all rows of a person. Choice sets may differ in size. A DataFrame, a
        mapping of arrays or a structured array.
    random
        Kind of each random coefficient by the name of its column: ``"normal"``,
        ``"lognormal"``, ``"censored"`` (a normal, zero where negative), ``"johnson"``
        (the logistic function of a normal), ``"uniform"`` or ``"triangular"``.
    integration
        Simulation rule, which gives each person draws of its own. By default 512 draws
        of a scrambled Sobol sequence with seed 0: a power of two, at which the sequence
        is balanced. Simulated likelihoods of long panels still move with the draws;
        look at them with more. ``Integration("halton", R, {"discard": 100,
        "scramble": False})`` draws as the R package mlogit does.
    correlated
        Whether L is lower triangular and not diagonal.

    Raises
    ------
    InputError
        With every fault of the table, or of the arguments.

    Examples
    --------
    >>> import blpdask
    >>> import numpy as np
    >>> blpdask.options.verbose = False
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(400, 3))
    >>> chosen = np.argmax(2 * x + rng.gumbel(size=x.shape), axis=1)
    >>> data = {
    ...     "situation_ids": np.repeat(np.arange(400), 3),
    ...     "chosen": (chosen[:, None] == np.arange(3)).ravel(),
    ...     "x": x.ravel(),
    ... }
    >>> problem = ChoiceProblem(Formulation("0 + x"), data)
    >>> problem.I, problem.N, problem.K
    (400, 1200, 1)
    >>> results = problem.solve(engine="serial", backend="numpy")
    >>> bool(abs(results.theta[0] - 2) < 3 * results.standard_errors[0])
    True
    >>> blpdask.options.verbose = True
    """

    def __init__(
        self,
        formulation: Formulation,
        choice_data: Any,
        random: Mapping[str, str] | None = None,
        integration: Integration | None = None,
        correlated: bool = False,
    ) -> None:
        """Read and check the table."""
        random = check_choice_arguments(formulation, random, integration, correlated)
        tolerance = max(options.collinear_atol, options.collinear_rtol)
        self.formulation = formulation
        self.table: ChoiceTable = read_choices(
            choice_data, formulation.parsed, tolerance=tolerance
        )
        self.coefficients = MixedCoefficients(
            labels=self.table.labels,
            kinds=check_random(self.table.columns, random),
            correlated=bool(correlated),
        )
        self.integration = integration if integration is not None else _default()
        self._rule: Rule = self.integration.rule.seeded()
        if options.verbose:
            options.verbose_output(f"{self}\n")

    @property
    def I(self) -> int:  # noqa: E743
        """Number of people."""
        return int(self.table.person_ids.size)

    @property
    def S(self) -> int:
        """Number of situations, of all people together."""
        return int(self.table.chosen.size)

    @property
    def N(self) -> int:
        """Number of alternatives, of all situations together."""
        return int(self.table.rows.size)

    @property
    def K(self) -> int:
        """Number of characteristics."""
        return len(self.coefficients.labels)

    @property
    def D(self) -> int:
        """Number of random coefficients."""
        return int(self.coefficients.random.size)

    @property
    def R(self) -> int:
        """Number of draws of a person, zero where nothing is random."""
        return self._rule.size if self.D else 0

    @property
    def integration_rule(self) -> Rule:
        """The rule of the draws, with the seed that was drawn where none was given."""
        return self._rule

    @cached_property
    def source(self) -> HeldBlocks:
        """Blocks of people with their draws."""
        return make_blocks(self.table, self._rule, self.coefficients.random_kinds)

    def __str__(self) -> str:
        """Print dimensions and the formulation."""
        sizes = {name: getattr(self, name) for name in _DIMENSIONS}
        shown = {name: str(size) for name, size in sizes.items() if size}
        labels, kinds = self.coefficients.labels, self.coefficients.kinds
        header: list[Header] = ["Column Indices:", *map(str, range(self.K))]
        rows = [["X: Characteristics", *labels]]
        if self.D:
            rows.append(["Coefficients", *kinds])
        return "\n\n".join(
            [
                text_table("Dimensions", list(shown), [list(shown.values())]),
                text_table("Formulations", header, rows),
            ]
        )

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def solve(
        self,
        start: Any = None,
        *,
        optimization: Optimization | None = None,
        se_type: str = "robust",
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        progress: Listener | None = None,
    ) -> ChoiceResults:
        """Maximise the likelihood, simulated where coefficients are random.

        Parameters
        ----------
        start
            ``(P,)`` starting values of b and the free entries of L, row by row. Where
            None, the conditional logit's estimates and moderate spreads
            (:mod:`blpdask.api.choice_starts`). Likelihoods can have several maxima;
            compare those from different values.
        optimization
            Method, ``"bfgs"`` by default. Methods for sums of squares do not apply.
        se_type
            ``"robust"``, the sandwich over people; ``"clustered"``, the sandwich over
            ``clustering_ids``; ``"hessian"``, valid where the model is right and
            weights are ones; or ``"bhhh"``, outer products of people's scores.
        engine, threads, backend, progress
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        ChoiceResults
            Estimates.

        Raises
        ------
        InputError
            With every fault of the arguments.
        NumericalError
            Where the likelihood is not finite.
        """
        chosen, optimizer = check_choice_solve(
            self, optimization, se_type, (engine, threads, backend, progress), start
        )
        listener = choose_likelihood_listener(progress)
        shared: dict[str, Any] = {
            "engine": chosen,
            "optimizer": optimizer,
            "listener": listener,
        }
        values = check_start(start, self.coefficients)
        if values is None:
            values = default_start(self, backend, shared)
        estimates = maximise_likelihood(
            self.source,
            SimulatedLikelihood(self.coefficients, backend),
            values,
            se_type=se_type,
            clusters=self.table.clusters if se_type == "clustered" else None,
            **shared,
        )
        results = ChoiceResults(estimates, problem=self)
        if progress is None and options.verbose:
            options.verbose_output(f"\n{results}")
        return results


def _default() -> Integration:
    """Integrate by balanced draws that are the same in every session."""
    return Integration("sobol", 512, {"seed": 0})
