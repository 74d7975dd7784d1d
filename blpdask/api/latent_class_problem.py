"""Latent classes of people: a table of choices in, classes with tastes and shares out.

    P_i = Σ_q π_iq P_iq(θ_q),   π_iq = e^{D_i'γ_q} / Σ_r e^{D_i'γ_r},

with P_iq the probability of all choices of person i in class q: a product of logits, or
where tastes vary within classes its average over draws (Kamakura and Russell 1989;
Train 2009, 14.3; Keane and Wasi 2013).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import options
from ..choice_records import LikelihoodEstimates
from ..errors import Faults, InputError
from ..estimators.class_likelihood import LatentClassLikelihood
from ..estimators.highest_maximum import highest_maximum
from ..estimators.moved_estimates import move_estimates
from ..model.latent_classes import LatentClasses
from ..partitions.source import HeldBlocks
from ..problem.choice_table import ChoiceTable
from ..problem.class_membership import add_membership, read_membership
from ..progress import Listener
from ..records import Floats
from ..results.text_tables import text_table
from .asked_blocks import check_in_memory
from .choice_checks import check_choice_solve, check_start
from .choice_counts import ChoiceCounts
from .choice_printing import choose_likelihood_listener
from .choice_problem import ChoiceProblem
from .choice_recording import choice_directory, contents_of_choices
from .formulation import Formulation
from .integration import Integration
from .latent_class_checks import (
    check_class_count,
    check_difference,
    check_membership,
    check_people,
    check_rule_within,
    check_search,
    check_shared,
    check_zeros,
)
from .latent_class_results import LatentClassResults
from .latent_class_starts import (
    climb_classes,
    order_classes,
    plain_classes,
    polished_starts,
)
from .optimization import Optimization
from .recorded import recorded


class LatentClassProblem(ChoiceCounts):
    """Classes of people whose tastes differ, of unknown members.

    Parameters
    ----------
    formulation, choice_data
        As of :class:`blpdask.ChoiceProblem`.
    classes
        How many classes, Q.
    membership
        Formulation of D, whose columns are the same in all rows of a person; where
        None, a constant, so that shares of classes are the same for all.
    random, integration, correlated
        As of :class:`blpdask.ChoiceProblem`: coefficients that vary within classes, by
        the same draws in each; by default 512 of a scrambled Sobol sequence of seed 0.
    shared
        Names of coefficients that all classes have in common: of columns, with their
        spreads, or of single parameters such as ``"sd.prices"``.
    zeros
        Names, as in ``shared``, of coefficients that are zero in a class, by its number
        from 1 on.

    Raises
    ------
    InputError
        With every fault of the table, or of the arguments.

    Notes
    -----
    Classes have no order of their own: results have the largest first. Where some
    coefficients are zero in some classes, classes keep their numbers.

    Examples
    --------
    >>> import blpdask
    >>> import numpy as np
    >>> blpdask.options.verbose = False
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 10, 3))
    >>> tastes = np.where(np.arange(200) < 120, 2.0, -1.0)
    >>> utilities = tastes[:, None, None] * x + rng.gumbel(size=x.shape)
    >>> i, t, _ = np.indices(x.shape)
    >>> data = {
    ...     "person_ids": i.ravel(),
    ...     "situation_ids": t.ravel(),
    ...     "chosen": (utilities == utilities.max(axis=2, keepdims=True)).ravel(),
    ...     "x": x.ravel(),
    ... }
    >>> problem = LatentClassProblem(Formulation("0 + x"), data, classes=2)
    >>> results = problem.solve(engine="serial", backend="numpy")
    >>> results.shares.round(1).tolist()
    [0.6, 0.4]
    >>> results.class_parameters.round().tolist()
    [[2.0], [-1.0]]
    >>> blpdask.options.verbose = True
    """

    def __init__(
        self,
        formulation: Formulation,
        choice_data: Any,
        classes: int,
        membership: Formulation | None = None,
        random: Mapping[str, str] | None = None,
        integration: Integration | None = None,
        correlated: bool = False,
        *,
        shared: Iterable[str] = (),
        zeros: Mapping[int, Iterable[str]] | None = None,
    ) -> None:
        """Read and check the table."""
        faults = Faults("LatentClassProblem")
        n_classes = check_class_count(classes, faults)
        membership = check_membership(membership, faults)
        rule = check_rule_within(integration, random, faults)
        self.choices = _read_choices(
            (formulation, choice_data, random, rule, correlated), faults
        )
        self.formulation, self.membership_formulation = formulation, membership
        self.table: ChoiceTable = check_in_memory(self.choices.table, faults)
        table, coefficients = self.table, self.choices.coefficients
        check_people(n_classes, self.I, faults)
        found = read_membership(
            choice_data,
            None if membership is None else membership.parsed,
            table,
            faults,
            tolerance=max(options.collinear_atol, options.collinear_rtol),
        )
        common = check_shared(shared, table.columns, coefficients, faults)
        check_difference(n_classes, common, coefficients, faults)
        nil = check_zeros(zeros, n_classes, common, table.columns, coefficients, faults)
        faults.check()
        assert found is not None
        self.membership: Floats = found.values
        self.coefficients = LatentClasses(
            coefficients=coefficients,
            n_classes=n_classes,
            membership=found.labels,
            shared=common,
            zeros=nil,
        )
        if options.verbose:
            options.verbose_output(f"{self._membership_table()}\n")

    @property
    def prior_source(self) -> HeldBlocks:
        """Blocks of people with draws that do not look at their choices: all are."""
        return self.source

    @property
    def Q(self) -> int:
        """Number of classes."""
        return self.coefficients.n_classes

    @property
    def M(self) -> int:
        """Number of columns of D."""
        return len(self.coefficients.membership)

    @cached_property
    def source(self) -> HeldBlocks:
        """Blocks of people with their draws and their D."""
        return add_membership(self.choices.source, self.membership)

    def __str__(self) -> str:
        """Print dimensions, the formulation and the classes."""
        return f"{self.choices}\n\n{self._membership_table()}"

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def solve(
        self,
        start: Any = None,
        *,
        starts: int | None = None,
        seed: int = 0,
        polished: int = 3,
        optimization: Optimization | None = None,
        se_type: str = "robust",
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        progress: Listener | None = None,
        resume: str | Path | None = None,
    ) -> LatentClassResults:
        """Maximise the likelihood from many starts.

        Expectation maximisation climbs from every start, all in the same passes over
        blocks; from the best ends a quasi-Newton search and Newton's method go on to
        the maximum, of which the highest is kept.

        Parameters
        ----------
        start
            ``(P,)`` starting values in the order of ``coefficients.parameter_labels``;
            there is no search by expectation maximisation then, and classes stay in
            their order.
        starts
            How many starts to climb from, ten a class by default; of one class, one.
        seed
            Of the starts.
        polished
            How many ends, of different likelihoods, are searched on from.
        optimization, se_type, engine, threads, backend, progress, resume
            As in :meth:`blpdask.ChoiceProblem.solve`.

        Returns
        -------
        LatentClassResults
            Estimates at the highest maximum that was found.

        Raises
        ------
        InputError
            With every fault of the arguments.
        NumericalError
            Where the likelihood is not finite.
        """
        began = time.perf_counter()
        n_starts = check_search(starts, seed, polished, start, self.Q)
        problem: Any = self
        chosen, optimizer = check_choice_solve(
            problem, optimization, se_type, (engine, threads, backend, progress), start
        )
        listener = choose_likelihood_listener(progress)
        values = check_start(start, problem.coefficients)
        candidates: list[Any] = [values]
        heights = np.empty(0)
        settings = {
            "classes and draws": (self.coefficients, self.choices.integration_rule),
            "starts": (values, n_starts, seed, polished),
            "method": (optimizer, se_type, backend),
        }
        known = partial(_contents, self)
        with recorded(
            chosen, choice_directory(resume), known, settings, listener
        ) as recording:
            if values is None:
                candidates, heights = self._search(
                    n_starts, seed, polished, engine=recording, listener=listener
                )
            best = highest_maximum(
                self.source,
                LatentClassLikelihood(self.coefficients, backend),
                candidates,
                engine=recording,
                optimizer=optimizer,
                se_type=se_type,
                clusters=self.table.clusters if se_type == "clustered" else None,
                listener=listener,
            )
        best = best if start is not None else self._sort(best)
        results = LatentClassResults(
            replace(best, seconds=time.perf_counter() - began),
            problem=self,
            start_log_likelihoods=heights,
        )
        if progress is None and options.verbose:
            options.verbose_output(f"\n{results}")
        return results

    def _membership_table(self) -> str:
        """Print classes and what tells them."""
        header = ["Classes", *map(str, range(self.M))]
        rows = [[str(self.Q), *self.coefficients.membership]]
        return text_table("Membership", header, rows)

    @property
    def _ordered(self) -> bool:
        """Whether classes may be given other numbers."""
        return not self.coefficients.zeros

    def _search(
        self, starts: int, seed: int, polished: int, **where: Any
    ) -> tuple[list[Any], Floats]:
        """Climb from many starts; give where to go on from, and all heights."""
        plain = plain_classes(self.coefficients)
        climbers = climb_classes(self.source, plain, starts=starts, seed=seed, **where)
        chosen = polished_starts(
            climbers,
            self.coefficients,
            plain,
            most=polished,
            ordered=self._ordered,
            table=self.table,
            membership=self.membership,
        )
        return list(chosen), np.array([one.log_likelihood for one in climbers])

    def _sort(self, estimates: LikelihoodEstimates) -> LikelihoodEstimates:
        """Put the largest class first."""
        classes = self.coefficients
        order = order_classes(classes, estimates.theta, self.table, self.membership)
        if not self._ordered or (np.diff(order) > 0).all():
            return estimates
        jacobian = classes.reorder(order)
        return move_estimates(estimates, jacobian @ estimates.theta, jacobian, classes)


def _read_choices(arguments: tuple[Any, ...], faults: Faults) -> ChoiceProblem:
    """Read the choices; all faults go to one list."""
    try:
        return ChoiceProblem(*arguments)
    except InputError as error:
        faults.extend(error)
    faults.check()
    raise AssertionError("faults that were found were not told")


def _contents(problem: LatentClassProblem) -> Any:
    """Give the choices of a problem, and what tells classes."""
    return contents_of_choices(problem.table), problem.membership
