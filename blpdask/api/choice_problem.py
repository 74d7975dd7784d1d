"""Choices of people: a table of alternatives and what varies in, estimates out.

Person i chooses in situation t the alternative of highest x_ijt'β_i + ε_ijt, with
extreme-value ε and

    β_ik = h_k(b_k + Σ_m Π_km d_im + Σ_l L_kl z_il)

(:mod:`blpdask.choice_records`). Without random coefficients this is the conditional
logit; with them the likelihood of all choices of a person is an average over draws of
z (Revelt and Train 1998; McFadden and Train 2000).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from .. import options
from ..choice_records import MixedCoefficients
from ..errors import Faults
from ..integration.rules import Rule
from ..problem.choice_blocks import make_blocks
from ..problem.choice_coefficients import name_coefficients, negate_column
from ..problem.choice_draws import count_draws
from ..problem.choice_table import ChoiceTable, read_choices
from ..problem.drawn_blocks import DrawnBlocks
from ..problem.given_choices import keep_fields
from ..problem.stored_choices import StoredChoiceTable
from ..progress import Listener
from ..results.text_tables import Header, text_table
from .choice_checks import (
    check_choice_arguments,
    check_start,
    check_stored,
)
from .choice_estimators import LIKELIHOODS, check_solve, estimate_choices
from .choice_fresh import check_with_fresh_draws
from .choice_printing import choose_likelihood_listener
from .choice_recording import choice_directory, contents_of_choices
from .choice_results import ChoiceResults
from .choice_separation import refuse_separated, refuse_separating
from .choice_starts import default_start, start_sizes
from .choice_stores import ChoiceStore
from .formulation import Formulation
from .initial_states import InitialStates
from .integration import Integration
from .optimization import Optimization
from .recorded import recorded
from .starting_points import points_near

#: Draws that do not look at choices, by default.
_FEWEST = 512
_DIMENSIONS = ("I", "S", "N", "K", "D", "M", "R")


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
        mapping of arrays or a structured array; or a :class:`blpdask.ChoiceStore`,
        whose rows stay on disk: formulas are then evaluated where rows are read, and
        columns are checked when the problem is first solved.
    random
        Kind of each random coefficient by the name of its column: ``"normal"``,
        ``"lognormal"``, ``"censored"`` (a normal, zero where negative),
        ``"truncated"`` (a normal given that it is positive), ``"johnson"`` (the
        logistic function of a normal), ``"uniform"``, ``"triangular"``,
        ``"exponential"`` (times an estimate of any sign, its mean), or ``"component"``
        (a normal of mean zero: an error that alternatives share, where the column is a
        dummy of a group of them; such columns may be combinations of others).
    integration
        Rule of draws. By default, where people choose more than once on average,
        ``Integration("laplace", 64, {"seed": 0})``, which draws from where a person's
        choices say that tastes are (:mod:`blpdask.model.laplace_draws`): in panels 64
        such draws are worth thousands of others. Elsewhere 512 draws of a scrambled
        Sobol sequence with seed 0. In one or two dimensions
        ``Integration("trapezoid", 101)`` is exact to many digits. ``Integration(
        "halton", R, {"discard": 100, "scramble": False})`` draws as the R package
        mlogit does. Sparse grids are refused: some of their weights are negative.
    correlated
        Whether L is lower triangular and not diagonal; or groups of names of columns,
        each in one of them, within which it is. Truncated coefficients and the scale
        stay independent.
    demographics
        Formulation of d on ``choice_data``, the same in all rows of a person. An
        intercept is left out.
    shifts
        Names of demographics that shift b, within h, by the name of the column whose
        coefficient it is, fixed or random: ``{"prices": ["income", "C(region)"]}``. By
        default every random coefficient with a mean is shifted by all demographics.
    wtp
        Name of the column of prices, for estimates in willingness-to-pay space
        (:mod:`blpdask.problem.choice_coefficients`): its coefficient is λ, of the
        column with its sign changed, fixed or random of a kind that is positive, and
        all others are λ times what is paid for a unit of their columns.
    random_scale
        Whether all coefficients are multiplied by e^(τ z - τ²/2), of mean one; τ is the
        parameter ``sd.scale``.

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
        correlated: bool | Sequence[Sequence[str]] = False,
        *,
        demographics: Formulation | None = None,
        shifts: Mapping[str, str | Sequence[str]] | None = None,
        wtp: str | None = None,
        random_scale: bool = False,
    ) -> None:
        """Read and check the table."""
        asked = check_choice_arguments(
            formulation,
            integration,
            random=random,
            correlated=correlated,
            demographics=demographics,
            shifts=shifts,
            wtp=wtp,
            random_scale=random_scale,
        )
        self.formulation, self.demographic_formulation = formulation, demographics
        table: ChoiceTable | StoredChoiceTable
        if isinstance(choice_data, ChoiceStore):
            check_stored(demographics, wtp)
            table = StoredChoiceTable(choice_data.blocks, formulation.parsed)
        else:
            table = read_choices(
                choice_data,
                formulation.parsed,
                tolerance=max(options.collinear_atol, options.collinear_rtol),
                demographics=None if demographics is None else demographics.parsed,
                asked=asked,
            )
        self.coefficients: MixedCoefficients = name_coefficients(
            asked, table.columns, table.demographic_columns, Faults("random")
        )
        if self.coefficients.in_wtp and isinstance(table, ChoiceTable):
            table = negate_column(table, self.coefficients.scaling)
        self.table: ChoiceTable | StoredChoiceTable = table
        if integration is None:
            integration = _default(panel=self.S > self.I)
        self.integration = integration
        self._rule: Rule = self.integration.rule.seeded()
        self.given: Any = None
        if not self.is_stored:
            self.given = keep_fields(choice_data, formulation.parsed)
        if options.verbose:
            options.verbose_output(f"{self}\n")

    @property
    def I(self) -> int:  # noqa: E743
        """Number of people."""
        return self.table.n_people

    @property
    def S(self) -> int:
        """Number of situations, of all people together."""
        return self.table.n_situations

    @property
    def N(self) -> int:
        """Number of alternatives, of all situations together."""
        return self.table.n_rows

    @property
    def K(self) -> int:
        """Number of characteristics."""
        return len(self.coefficients.labels)

    @property
    def D(self) -> int:
        """Number of random coefficients."""
        return int(self.coefficients.random.size)

    @property
    def M(self) -> int:
        """Number of demographics."""
        return len(self.coefficients.demographics)

    @property
    def R(self) -> int:
        """Number of draws of a person, zero where nothing is random."""
        return count_draws(self._rule, self.coefficients.random_kinds)

    @property
    def prior_R(self) -> int:
        """Number of draws of a person where these do not look at choices."""
        return max(self.R, _FEWEST) if self.is_centred else self.R

    @property
    def is_centred(self) -> bool:
        """Whether draws are made around modes of people's tastes."""
        return bool(self._rule.is_centred and self.D)

    @property
    def is_stored(self) -> bool:
        """Whether choices stay in a store."""
        return isinstance(self.table, StoredChoiceTable)

    @property
    def integration_rule(self) -> Rule:
        """The rule of the draws, with the seed that was drawn where none was given."""
        return self._rule

    @cached_property
    def source(self) -> DrawnBlocks:
        """Blocks of people, whose draws are made where they are loaded.

        Of ``"laplace"`` these are the base points.
        """
        return make_blocks(self.table, self._rule, self.coefficients.random_kinds)

    @cached_property
    def prior_source(self) -> DrawnBlocks:
        """Blocks of people with draws that do not look at their choices."""
        if not self.is_centred:
            return self.source
        rule = replace(self._rule.base, size=self.prior_R)
        return make_blocks(self.table, rule, self.coefficients.random_kinds)

    def __str__(self) -> str:
        """Print dimensions and the formulation."""
        sizes = {name: getattr(self, name) for name in _DIMENSIONS}
        shown = {name: str(size) for name, size in sizes.items() if size}
        labels, kinds = self.coefficients.labels, self.coefficients.kinds
        width = max(self.K, self.M)
        header: list[Header] = ["Column Indices:", *map(str, range(width))]
        rows = [["X: Characteristics", *labels]]
        if self.D:
            rows.append(["Coefficients", *kinds])
        if self.M:
            rows.append(["d: Demographics", *self.coefficients.demographics])
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
        starts: Any = None,
        seed: int = 0,
        method: str = "msl",
        method_options: Mapping[str, Any] | None = None,
        optimization: Optimization | None = None,
        se_type: str = "robust",
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        progress: Listener | None = None,
        initial_states: InitialStates | None = None,
        resume: str | Path | None = None,
    ) -> ChoiceResults:
        """Estimate, by maximising the simulated likelihood where not told otherwise.

        Parameters
        ----------
        start
            ``(P,)`` starting values of b and the free entries of Π and of L, row by
            row. Where None, the conditional logit's estimates and moderate spreads
            (:mod:`blpdask.api.choice_starts`).
        starts
            Number of starts in all, or further ones ``(S, P)``, for likelihoods can
            have several maxima; the highest is kept, and :attr:`ChoiceResults.starts`
            lists all. Starts that fail do not end the others. Random ones are θ_p +
            |θ_p| z, with z standard normal, about the first.
        seed
            Of random starts.
        method
            ``"msl"``, maximum simulated likelihood; ``"corrected"``, of a likelihood
            without the bias that few draws give its logarithm, which takes draws to be
            independent: use ``Integration("monte_carlo", ...)``; ``"msm"``, the method
            of simulated moments, without bias at any number of draws, which of panels
            leaves unused what choices say of one another; or ``"mss"``, the method of
            simulated scores, an experiment (:mod:`blpdask.api.choice_estimators`).
        method_options
            Of ``"msm"``: ``draws`` of instruments, 200 of each person, and their
            ``seed``, by default one more than the integration's. Of ``"mss"``:
            ``inverse``, by which 1/P of people who choose once is estimated,
            ``"roulette"`` or ``"accept-reject"``; ``roulettes``, how many, 8;
            ``sweeps`` over draws of panels, 16; and ``seed``.
        optimization
            Method, ``"bfgs"`` by default. Methods for sums of squares do not apply.
        se_type
            ``"robust"``, the sandwich over people; ``"clustered"``, the sandwich over
            ``clustering_ids``; ``"hessian"``, valid where the model is right and
            weights are ones; or ``"bhhh"``, outer products of people's scores. Of
            ``"msm"`` and ``"mss"`` the first two, which then hold what draws add.
        engine, threads, backend, progress
            As in :meth:`blpdask.Problem.solve`.
        initial_states
            Of panels with habit, situations before the first ones, whose chances enter
            the likelihood (:class:`blpdask.InitialStates`); None where first states
            are taken as given.
        resume
            Directory in which every sum over blocks is recorded as it is computed, and
            from which the same call, made again, goes on with the same bits, as in
            :meth:`blpdask.Problem.solve`. None records nothing.

        Returns
        -------
        ChoiceResults
            Estimates.

        Raises
        ------
        InputError
            With every fault of the arguments.
        NumericalError
            Where the likelihood is not finite, or has no maximum, as where a column
            decides all choices (:mod:`blpdask.problem.choice_separation`).
        """
        machinery = (engine, threads, backend, progress)
        asked, chosen, optimizer = check_solve(
            self,
            method,
            method_options,
            optimization,
            se_type,
            machinery,
            start,
            starts,
            seed,
            initial_states,
        )
        listener = choose_likelihood_listener(progress)
        if isinstance(self.table, StoredChoiceTable):
            self.table.inspect(chosen, centred=self.coefficients.components)
        values = check_start(start, self.coefficients)
        held = self.table if isinstance(self.table, ChoiceTable) else None
        searched = optimizer.method != "return"
        if held is not None and searched:
            refuse_separated(held, self.coefficients)
        settings = {
            "coefficients and draws": (self.coefficients, self._rule),
            "starts": (values, starts, seed),
            "method": (asked, optimizer, backend),
        }
        directory = choice_directory(resume, initial_states)
        known = partial(contents_of_choices, self.table)
        with recorded(chosen, directory, known, settings, listener) as engine:
            shared = {"engine": engine, "optimizer": optimizer, "listener": listener}
            if values is None:
                values = default_start(self, backend, shared)
            sizes = values
            if starts is not None:
                sizes = start_sizes(values, self.coefficients, self.table)
            shared["starts"] = points_near(starts, values, sizes, seed)
            estimates = estimate_choices(
                self, asked, values, backend, shared, progress, initial_states
            )
            if held is not None and searched:
                refuse_separating(estimates, held, self.coefficients)
            results = ChoiceResults(
                estimates, problem=self, initial_states=initial_states
            )
            around_modes = initial_states is None and method in LIKELIHOODS
            if not around_modes:
                results.R = self.prior_R
            if self.is_centred and around_modes and searched:
                results.fresh = check_with_fresh_draws(self, estimates, engine, backend)
        if progress is None and options.verbose:
            options.verbose_output(f"\n{results}")
        return results


def _default(*, panel: bool) -> Integration:
    """Integrate by draws that are the same in every session."""
    if panel:
        return Integration("laplace", 64, {"seed": 0})
    return Integration("sobol", _FEWEST, {"seed": 0})
