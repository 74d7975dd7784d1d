"""Questions about people's choices at the estimates: substitution, tastes, welfare.

Each is asked of all blocks of people by the engine. Asked ``conditional``, it is about
these people given what each of them chose, else about people who are like them.
"""By which method choices are estimated: likelihood, simulated moments or scores.

With P̌ a mean over R draws, which are linear in what is drawn,

    msl        Σ_i w_i log P̌_i(θ) is largest; log P̌ is too low by Var(P̌) / (2 P²),
    corrected  that is added back, as if draws were independent,
    msm        Σ_i w_i Σ_t Σ_j W_itj (y_itj - P̌_itj(θ)) = 0, without bias at any R,
    mss        Σ_i w_i s̃_i(θ) = 0, with s̃ scores without bias: an experiment

(McFadden 1989; Gourieroux and Monfort 1996; Hajivassiliou and McFadden 1998). The last
two begin at estimates of a likelihood, corrected where draws are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..records import Floats

if TYPE_CHECKING:
    import pandas as pd

    from ..results.choice_counterfactual import ChoiceCounterfactual
    from ..results.willingness_to_pay import WillingnessToPay


class ChoiceMethods:
    """What estimates of choices are for, under the names of market demand.

    Examples
    --------
    >>> import blpdask
    >>> import numpy as np
    >>> blpdask.options.verbose = False
    >>> data = {
    ...     "situation_ids": [0, 0, 1, 1, 2, 2],
    ...     "alternative_ids": ["bus", "car"] * 3,
    ...     "chosen": [1, 0, 0, 1, 1, 0],
    ...     "prices": [1.0, 2.0, 3.0, 1.0, 2.0, 1.0],
    ... }
    >>> problem = blpdask.ChoiceProblem(blpdask.Formulation("0 + prices"), data)
    >>> results = problem.solve(engine="serial", backend="numpy")
    >>> P = results.compute_probabilities(engine="serial")
    >>> table = results.compute_elasticities(engine="serial")
    >>> own = table[table["row"] == table["other_row"]]["elasticities"]
    >>> bool(np.allclose(own, results.theta * data["prices"] * (1 - P)))
    True
    >>> blpdask.options.verbose = True
    """

    def compute_probabilities(
        self,
        conditional: bool = False,
        choice_data: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> Floats:
        """Compute the probability of each alternative, averaged over draws.

        Parameters
        ----------
        conditional
            Whether given each person's own choices: draws are weighted by how likely
            they make them. Probabilities of choices that the estimation has seen are
            then fitted, not predicted.
        choice_data
            Other data: a table like the problem's, at other prices, without some rows,
            with ``availability``, or of new situations, of the same people, who have
            the same draws. Their own where None.
        engine, threads
            As in :meth:`blpdask.ChoiceProblem.solve`.

        Returns
        -------
        numpy.ndarray
            A probability a row of ``choice_data``, in its order: zero where it is not
            available and one where nothing else is.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.
        InputError
            With every fault of the arguments.
        """
        from . import choice_answers as answers

        return answers.probabilities(
            self._ask("compute_probabilities", conditional, engine, threads),
            choice_data,
        )

    def compute_shares(
        self,
        conditional: bool = False,
        choice_data: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> pd.Series[float]:
        """Compute shares of alternatives, Σ_s w_s P_sa / Σ_s w_s over situations.

        Parameters
        ----------
        conditional, choice_data, engine, threads
            As in :meth:`compute_probabilities`, which also says what errors are raised.
            Data must have ``alternative_ids``. People who are not in the estimation,
            because they never had a choice, are left out.

        Returns
        -------
        pandas.Series
            By ``alternative_ids``, sorted.
        """
        from . import choice_answers as answers

        return answers.shares(
            self._ask("compute_shares", conditional, engine, threads), choice_data
        )

    def compute_elasticities(
        self,
        name: str = "prices",
        by: str = "situations",
        conditional: bool = False,
        choice_data: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> pd.DataFrame:
        """Compute elasticities of probabilities, ε_jk = v_k / P_j ∂P_j/∂v_k.

        Parameters
        ----------
        name
            The variable v of the formulation, which is differentiated: it may stand in
            interactions and functions.
        by
            ``"situations"`` for those of each situation, or ``"alternatives"`` for
            those of shares over all situations, where v of an alternative rises by the
            same per cent in all of them.
        conditional, choice_data, engine, threads
            As in :meth:`compute_probabilities`.

        Returns
        -------
        pandas.DataFrame
            By situations, a row for each pair, sorted: ids and ``row`` (its place in
            the data) of the alternative j that responds, ``other_alternative_ids`` and
            ``other_row`` of k, whose v moves, and ``elasticities``. By alternatives, a
            matrix: j by row, k by column.
        """
        from . import choice_answers as answers

        question = self._ask("compute_elasticities", conditional, engine, threads)
        return answers.elasticities(question, name, by, choice_data)

    def compute_diversion_ratios(
        self,
        name: str = "prices",
        by: str = "situations",
        conditional: bool = False,
        choice_data: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> pd.DataFrame:
        """Compute diversion ratios, D_jk = -∂P_k/∂v_j / ∂P_j/∂v_j.

        They say where those go who leave j as v_j moves a little.

        Parameters
        ----------
        name, by, conditional, choice_data, engine, threads
            As in :meth:`compute_elasticities`; by alternatives, v_j moves by the same
            amount in all situations.

        Returns
        -------
        pandas.DataFrame
            By situations, a row for each pair of different alternatives: ids and
            ``row`` of j, ``other_alternative_ids`` and ``other_row`` of k, and
            ``diversion_ratios``. By alternatives, a matrix with j by row and zeros on
            the diagonal. Those of each j sum to one: an outside option is one of the
            alternatives, or there is none.
        """
        from . import choice_answers as answers

        question = self._ask("compute_diversion_ratios", conditional, engine, threads)
        return answers.diversion_ratios(question, name, by, choice_data)

    def compute_long_run_diversion_ratios(
        self,
        by: str = "situations",
        conditional: bool = False,
        choice_data: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> pd.DataFrame:
        """Compute long-run diversion ratios, D̄_jk = (P_k(-j) - P_k) / P_j.

        They say where those go who chose j when j is taken away.

        Parameters
        ----------
        by, conditional, choice_data, engine, threads
            As in :meth:`compute_elasticities`. By alternatives, ratios are of those who
            have somewhere to go.

        Returns
        -------
        pandas.DataFrame
            As of :meth:`compute_diversion_ratios`.
        """
        from . import choice_answers as answers

        question = self._ask(
            "compute_long_run_diversion_ratios", conditional, engine, threads
        )
        return answers.long_run_diversion_ratios(question, by, choice_data)

    def compute_posterior_coefficients(
        self, *, engine: Any = None, threads: int | None = None
    ) -> pd.DataFrame:
        """Compute each person's coefficients given what the person chose.

        Parameters
        ----------
        engine, threads
            As in :meth:`blpdask.ChoiceProblem.solve`.

        Returns
        -------
        pandas.DataFrame
            A row a person, sorted by ``person_ids``: E[β_ik | y_i] under the name of
            each column of X, its standard deviation under ``sd.`` and the name, and
            ``effective_draws``, few of which make the others unreliable. Coefficients
            are those of utility, in willingness-to-pay space too.
        """
        from . import choice_answers as answers

        question = self._ask("compute_posterior_coefficients", True, engine, threads)
        return answers.posterior_coefficients(question)

    def compute_willingness_to_pay(
        self,
        name: str,
        price: str = "prices",
        quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
        conditional: bool = False,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> WillingnessToPay:
        """Compute how much people would pay for one more of an attribute.

        Parameters
        ----------
        name, price
            Variables of the formulation, each in one column as a constant multiple:
            minus the slope of utility by one over that by the other is what is
            computed. Or columns of X, such as ``"log(prices)"``, whose coefficients are
            divided. What prices are made of must not stand in another column.
        quantiles
            Shares of people below.
        conditional, engine, threads
            As in :meth:`compute_probabilities`.

        Returns
        -------
        WillingnessToPay
            Its distribution over people, with a standard error where it is the same
            for all of them.

        Warns
        -----
        NumericalWarning
            Where the coefficient of prices may be close to zero, so that neither a mean
            nor a standard deviation exists.
        """
        from . import choice_welfare_answers as answers

        question = self._ask("compute_willingness_to_pay", conditional, engine, threads)
        covariances = self.covariances  # type: ignore[attr-defined]
        return answers.willingness_to_pay(question, name, price, quantiles, covariances)

    def compute_consumer_surpluses(
        self,
        price: str = "prices",
        conditional: bool = False,
        choice_data: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> pd.DataFrame:
        """Compute consumer surplus, E[log Σ_j e^{V_ijt} / -α_i], of each situation.

        Levels have a constant in them that has no meaning; differences, as between two
        ``choice_data``, are what a change is worth.

        Parameters
        ----------
        price
            The variable p by which utility has the slope α_i = ∂V_ijt/∂p, minus what
            money is worth: the same for all of a situation and at all prices.
        conditional, choice_data, engine, threads
            As in :meth:`compute_probabilities`.

        Returns
        -------
        pandas.DataFrame
            A row a situation, sorted: its ids and ``consumer_surpluses`` in units of
            prices, NaN where some draw has α_i that is not negative.

        Warns
        -----
        NumericalWarning
            Where α_i may be close to zero, or above, so that no mean exists.
        """
        from . import choice_welfare_answers as answers

        question = self._ask("compute_consumer_surpluses", conditional, engine, threads)
        return answers.consumer_surpluses(question, price, choice_data)

    def compute_counterfactual(
        self,
        changes: Any,
        price: str | None = None,
        conditional: bool = False,
        *,
        engine: Any = None,
        threads: int | None = None,
    ) -> ChoiceCounterfactual:
        """Compute what people would choose, were columns other than they are.

        Parameters
        ----------
        changes
            New values by name of a variable of the formulation, or of
            ``"availability"``, whose zeros take alternatives away: a number or a value
            a row of ``choice_data``.
        price
            The variable by which consumer surplus is measured; none is where None.
        conditional, engine, threads
            As in :meth:`compute_probabilities`.

        Returns
        -------
        ChoiceCounterfactual
            Probabilities, shares of alternatives and consumer surplus before and after.
        """
        from . import choice_welfare_answers as answers

        question = self._ask("compute_counterfactual", conditional, engine, threads)
        return answers.counterfactual(question, changes, price)

    def _ask(self, what: str, conditional: Any, engine: Any, threads: Any) -> Any:
        """Begin a question."""
        from .choice_questions import ChoiceQuestion

        return ChoiceQuestion(
            self,  # type: ignore[arg-type]
            what,
            conditional,
            engine,
            threads,
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choice_records import LikelihoodEstimates
from ..driver.engine import Engine
from ..errors import DataWarning, Faults, InputError, NumericalWarning
from ..estimators.likelihood_model import SimulatedLikelihood
from ..estimators.moment_covariances import MOMENT_SE_TYPES
from ..estimators.optimizers.choose import OptimizerChoice
from ..estimators.simulated_likelihood import maximise_likelihood
from ..estimators.simulated_moments import compute_instruments, solve_moments
from ..estimators.simulated_scores import INVERSES, ScoreOptions, solve_scores
from ..integration.rules import Rule, RuleOptions
from ..problem.choice_blocks import make_blocks
from ..progress import Listener
from ..records import Floats
from .choice_checks import check_choice_solve
from .moment_printing import choose_moment_listener

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem

METHODS = ("msl", "corrected", "msm", "mss")
#: What can be told of each method, with what it is where it is not told.
_OPTIONS: dict[str, dict[str, Any]] = {
    "msl": {},
    "corrected": {},
    "msm": {"draws": 200, "seed": None},
    "mss": {"inverse": "roulette", "roulettes": 8, "sweeps": 16, "seed": None},
}


@dataclass(frozen=True, slots=True)
class ChoiceMethod:
    """A method, and what was told of it.

    Attributes
    ----------
    name
        One of :data:`METHODS`.
    options
        All of the method's options, whether told or not.
    se_type
        Kind of standard errors.
    """

    name: str
    options: Mapping[str, Any]
    se_type: str


def check_solve(
    problem: ChoiceProblem,
    method: Any,
    method_options: Any,
    optimization: Any,
    se_type: Any,
    machinery: tuple[Any, Any, Any, Any],
    start: Any,
) -> tuple[ChoiceMethod, Engine, OptimizerChoice]:
    """Check the arguments of a solve, those of its method among them."""
    faults = Faults("solve")
    if method not in METHODS:
        listed = ", ".join(map(repr, METHODS))
        faults.add(f"method={method!r}", f"one of {listed}", "correct method")
        method = "msl"
    told = _read_options(method, method_options, faults)
    if method in ("msm", "mss") and se_type in ("hessian", "bhhh"):
        faults.add(
            f"se_type={se_type!r} with method={method!r}",
            f"one of {', '.join(map(repr, MOMENT_SE_TYPES))}",
            "use 'robust': what draws add to the variance is in it",
        )
    if method == "mss" and not problem.D:
        faults.add(
            "method='mss' without random coefficients",
            "coefficients over whose draws scores are simulated",
            "use 'msl', whose likelihood is then exact",
        )
    try:
        engine, optimizer = check_choice_solve(
            problem, optimization, se_type, machinery, start
        )
    except InputError as error:
        faults.extend(error)
    faults.check()
    _warn(problem, method)
    seed = problem.integration_rule.options.seed
    if "seed" in told and told["seed"] is None:
        told["seed"] = 1 if seed is None else seed + 1
    return ChoiceMethod(method, told, se_type), engine, optimizer


def estimate_choices(
    problem: ChoiceProblem,
    method: ChoiceMethod,
    start: Floats,
    backend: str,
    shared: Mapping[str, Any],
    progress: Listener | None,
) -> LikelihoodEstimates:
    """Estimate a problem by a method.

    Parameters
    ----------
    problem, method
        What, and how.
    start
        ``(P,)`` first θ.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    shared
        Engine, optimiser and listener of likelihoods.
    progress
        Who listens, as it was given.
    """
    independent = problem.integration_rule.specification == "monte_carlo"
    likelihood = SimulatedLikelihood(
        problem.coefficients,
        backend,
        corrected=method.name == "corrected"
        or (method.name in ("msm", "mss") and independent),
    )
    errors: dict[str, Any] = {
        "se_type": method.se_type,
        "clusters": problem.table.clusters if method.se_type == "clustered" else None,
    }
    found = maximise_likelihood(problem.source, likelihood, start, **errors, **shared)
    if method.name in ("msl", "corrected"):
        return replace(found, method=method.name)
    engine = shared["engine"]
    further: dict[str, Any] = {
        **errors,
        "engine": engine,
        "backend": backend,
        "listener": choose_moment_listener(progress),
    }
    if method.name == "mss":
        options = ScoreOptions(**method.options)
        return solve_scores(problem.source, found, options, **further)
    rule = Rule(
        "monte_carlo",
        method.options["draws"],
        RuleOptions(seed=method.options["seed"]),
    )
    others = make_blocks(problem.table, rule, problem.coefficients.random_kinds)
    instruments = compute_instruments(
        others, problem.coefficients, found.theta, engine=engine
    )
    return solve_moments(
        problem.source, instruments, problem.coefficients, found.theta, **further
    )


def _read_options(method: str, given: Any, faults: Faults) -> dict[str, Any]:
    """Read the options of a method."""
    known = _OPTIONS[method]
    if given is not None and not isinstance(given, Mapping):
        faults.add(
            f"method_options of type {type(given).__name__}",
            "a mapping from names of options, or None",
            "say, for example, method_options={'draws': 500}",
        )
        given = None
    told = dict(given or {})
    for name, value in told.items():
        if name not in known:
            listed = ", ".join(map(repr, known)) or "none"
            expected, remedy = f"options of {method!r}: {listed}", "correct the name"
        elif name == "inverse" and value not in INVERSES:
            expected = f"one of {', '.join(map(repr, INVERSES))}"
            remedy = "choose one of these"
        elif name != "inverse" and not _is_count(value, 0 if name == "seed" else 1):
            expected, remedy = "a whole number, at least 1, 0 of seeds", "correct it"
        else:
            continue
        faults.add(f"method option {name!r}: {value!r}", expected, remedy)
    return {**known, **told}


def _is_count(value: Any, least: int) -> bool:
    """Say whether a value is a whole number and not too small."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and value >= least


def _warn(problem: ChoiceProblem, method: str) -> None:
    """Warn of methods that do not suit the draws, or are not tried much."""
    rule = problem.integration_rule
    if method == "corrected" and problem.D and rule.specification != "monte_carlo":
        warnings.warn(
            f"draws of {rule.specification!r} are not independent: P̌ varies less than "
            "the correction says, which takes too much away; use "
            f"Integration('monte_carlo', {rule.size}, {{'seed': 0}}), or 'msm'",
            DataWarning,
            stacklevel=4,
        )
    if method == "mss":
        warnings.warn(
            "the method of simulated scores is an experiment: 'msm' and 'corrected' "
            "vary less",
            NumericalWarning,
            stacklevel=4,
        )
