"""Nested logit of people's choices: alternatives of a nest are alike in what is unseen.

    P_j = (e^{V_j/(1-ρ_h)} / D_h) D_h^{1-ρ_h} / Σ_g D_g^{1-ρ_g},
    D_h = Σ_{k∈h} e^{V_k/(1-ρ_h)},   V_j = x_j'β

(McFadden 1978; Train 2009, 4.2), with ρ as in the aggregate nested logit: the
correlation of errors within a nest, one less the coefficient of the nest's log-sum.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from .. import options
from ..errors import Faults, InputError
from ..estimators.nested_likelihood import maximise_nested
from ..model.nested_choices import NestedCoefficients
from ..partitions.source import HeldBlocks
from ..problem.choice_nests import (
    RHO,
    cut_nested,
    nested_coefficients,
    read_nests,
)
from ..problem.choice_table import ChoiceTable
from ..progress import Listener
from ..records import Floats
from ..results.text_tables import text_table
from .asked_blocks import check_in_memory
from .choice_checks import check_choice_solve, check_start
from .choice_counts import ChoiceCounts
from .choice_printing import choose_likelihood_listener
from .choice_problem import ChoiceProblem
from .formulation import Formulation
from .nested_choice_results import NestedChoiceResults
from .optimization import Optimization


class NestedChoiceProblem(ChoiceCounts):
    """A nested logit of people's choices.

    Parameters
    ----------
    formulation, choice_data
        As of :class:`blpdask.ChoiceProblem`, the latter with ``nesting_ids``: the nest
        of each row's alternative. What is like nothing else has a nest of its own.
    rho
        ``"one"`` for all nests, or ``"each"`` its own. Nests that never have two
        alternatives in a situation have none.

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
    >>> x = rng.normal(size=(500, 3))
    >>> alike = rng.normal(size=(500, 1)) * [0, 2, 2]
    >>> chosen = np.argmax(x + alike + rng.gumbel(size=x.shape), axis=1)
    >>> data = {
    ...     "situation_ids": np.repeat(np.arange(500), 3),
    ...     "nesting_ids": np.tile(["train", "road", "road"], 500),
    ...     "chosen": (chosen[:, None] == np.arange(3)).ravel(),
    ...     "x": x.ravel(),
    ... }
    >>> problem = NestedChoiceProblem(Formulation("0 + x"), data)
    >>> results = problem.solve(engine="serial")
    >>> results.labels, results.rho.round(1).tolist()
    (('x', 'rho'), [0.5, 0.0])
    >>> blpdask.options.verbose = True
    """

    def __init__(
        self, formulation: Formulation, choice_data: Any, rho: str = "one"
    ) -> None:
        """Read and check the table."""
        faults = Faults("NestedChoiceProblem")
        if rho not in RHO:
            listed = " or ".join(map(repr, RHO))
            faults.add(f"rho={rho!r}", listed, "correct rho")
        try:
            self.choices = ChoiceProblem(formulation, choice_data)
        except InputError as error:
            faults.extend(error)
            faults.check()
        self.formulation = formulation
        table = check_in_memory(self.choices.table, faults)
        nested = read_nests(choice_data, table, faults)
        faults.check()
        assert nested is not None
        self._nested = nested
        self.coefficients: NestedCoefficients = nested_coefficients(nested, rho)
        if options.verbose:
            options.verbose_output(f"{self._nests_table()}\n")

    @property
    def table(self) -> ChoiceTable:
        """The table, sorted by person, situation and nest."""
        return self._nested.table

    @property
    def H(self) -> int:
        """Number of nests."""
        return len(self.coefficients.nests)

    @cached_property
    def source(self) -> HeldBlocks:
        """Blocks of people, nests side by side."""
        return cut_nested(self._nested)

    def __str__(self) -> str:
        """Print dimensions, the formulation and the nests."""
        return f"{self.choices}\n\n{self._nests_table()}"

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
        progress: Listener | None = None,
    ) -> NestedChoiceResults:
        """Maximise the likelihood over β and ρ in [0, 1).

        Parameters
        ----------
        start
            ``(P,)`` starting values of β and ρ. Where None, the logit's estimates, and
            ρ of zero.
        optimization, se_type, engine, threads, progress
            As in :meth:`blpdask.ChoiceProblem.solve`.

        Returns
        -------
        NestedChoiceResults
            Estimates; a ρ that would be negative is zero, and no parameter of them.

        Raises
        ------
        InputError
            With every fault of the arguments.
        NumericalError
            Where the likelihood is not finite.
        """
        began = time.perf_counter()
        problem: Any = self
        chosen, optimizer = check_choice_solve(
            problem, optimization, se_type, (engine, threads, "numpy", progress), start
        )
        search: dict[str, Any] = {
            "engine": chosen,
            "optimizer": optimizer,
            "listener": choose_likelihood_listener(progress),
        }
        values = self._check_rho(check_start(start, problem.coefficients))
        if values is None:
            values = self._logit(search)
        estimates = maximise_nested(
            self.source,
            self.coefficients,
            values,
            se_type=se_type,
            clusters=self.table.clusters if se_type == "clustered" else None,
            **search,
        )
        estimates = replace(estimates, seconds=time.perf_counter() - began)
        results = NestedChoiceResults(estimates, problem=self)
        if progress is None and options.verbose:
            options.verbose_output(f"\n{results}")
        return results

    def _check_rho(self, values: Floats | None) -> Floats | None:
        """Check that starting values of ρ lie in [0, 1)."""
        if values is None:
            return None
        rho = values[self.K :]
        if not ((rho >= 0.0) & (rho < 1.0)).all():
            faults = Faults("start")
            faults.add(
                f"starting values {rho.tolist()} of {self.coefficients.rho_labels}",
                "numbers of at least 0 and less than 1",
                "correct them; at 0 there are no nests",
            )
            faults.check()
        return values

    def _logit(self, search: dict[str, Any]) -> Floats:
        """Estimate β without nests, and put ρ at zero."""
        plain = self.coefficients
        while plain.rho_labels:
            plain = plain.hold(0)
        start = np.zeros(self.K)
        found = maximise_nested(self.source, plain, start, se_type="hessian", **search)
        return np.append(found.theta, np.zeros(len(self.coefficients.rho_labels)))

    def _nests_table(self) -> str:
        """Print nests, and which ρ they have."""
        labels = (*self.coefficients.rho_labels, "none")
        rows = [
            [name, labels[place]]
            for name, place in zip(
                self.coefficients.nests, self.coefficients.rho_places, strict=True
            )
        ]
        return text_table("Nests", ["Nest", "Rho"], rows)
