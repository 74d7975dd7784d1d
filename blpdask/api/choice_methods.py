"""Questions about people's choices at the estimates: substitution, tastes, welfare.

Each is asked of all blocks of people by the engine. Asked ``conditional``, it is about
these people given what each of them chose, first states included where the likelihood
has them, else about people who are like them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..records import Floats

if TYPE_CHECKING:
    import pandas as pd

    from ..choice_records import LikelihoodEstimates, MixedCoefficients
    from ..results.choice_counterfactual import ChoiceCounterfactual
    from ..results.willingness_to_pay import WillingnessToPay
    from .choice_problem import ChoiceProblem
    from .initial_states import InitialStates


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

    estimates: LikelihoodEstimates

    problem: ChoiceProblem | None

    initial_states: InitialStates | None

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
            the same draws. Their own where None. Weights, demographics and what tells
            classes are the estimation's, whatever the table says of them.
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

    @property
    def asked_coefficients(self) -> MixedCoefficients:
        """What varies over the people who are asked about, and how."""
        return self.estimates.coefficients

    def asked_at(self, conditional: bool) -> Any:
        """Make what is sent to all blocks when something is asked."""
        from ..analysis.choice_probabilities import At

        coefficients = self.estimates.coefficients
        problem = self.problem
        around_modes = conditional and self.initial_states is None
        centred = around_modes and problem is not None and problem.is_centred
        kinds = coefficients.random_kinds if centred else ()
        return At(coefficients, self.estimates.theta, conditional, kinds)

    def _ask(self, what: str, conditional: Any, engine: Any, threads: Any) -> Any:
        """Begin a question."""
        from .choice_questions import ChoiceQuestion

        return ChoiceQuestion(
            self,  # type: ignore[arg-type]
            what,
            conditional,
            engine,
            threads,
        )
