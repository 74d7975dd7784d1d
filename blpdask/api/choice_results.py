"""Results of choices: estimates, fit, spreads of tastes, tests and tables.

With LL the log-likelihood, LL₀ that of alternatives all alike, P parameters and S
situations,

    AIC = 2 P - 2 LL,    BIC = P log S - 2 LL,    ρ² = 1 - LL / LL₀

(McFadden 1974), and adjusted ρ² = 1 - (LL - P) / LL₀.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import astuple, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import options
from ..choice_records import LikelihoodEstimates, MixedCoefficients
from ..errors import Faults, NumericalWarning
from ..problem.choice_draws import is_shared
from ..problem.choice_paths import PathColumns
from ..progress import Listener
from ..records import Floats
from ..results.choice_estimates_tables import (
    ERRORS,
    covariances_table,
    describe_starts,
    describe_wtp,
    draws_table,
    fit_table,
    lines_html,
    lines_latex,
    parameter_lines,
    parameters_table,
    search_table,
)
from ..results.choice_spreads import Spreads, compute_spreads
from ..results.choice_store import read_likelihood, save_likelihood
from ..results.delta_method import DeltaMethod, check_function, function_of_parameters
from ..results.test_statistic import TestStatistic
from .asked_blocks import require_problem
from .choice_fresh import FreshLikelihood, check_with_fresh_draws
from .choice_methods import ChoiceMethods
from .choice_paths import AskedPaths, path_probabilities
from .choice_printing import choose_likelihood_listener
from .pickles import save_pickle
from .solve_checks import check_engine

if TYPE_CHECKING:
    import pandas as pd

    from .choice_problem import ChoiceProblem
    from .initial_states import InitialStates

#: What :meth:`ChoiceResults.to_dict` gathers.
ATTRIBUTES = (
    *("theta", "labels", "kinds", "standard_errors", "covariances", "se_type"),
    *("log_likelihood", "log_likelihood_at_zero", "AIC", "BIC"),
    *("rho_squared", "adjusted_rho_squared", "gradient", "hessian", "scores"),
    *("sigma", "sigma_se", "standard_deviations", "standard_deviations_se"),
    *("correlations", "correlations_se", "I", "S", "N", "R"),
    *("effective_draws", "fresh_log_likelihood"),
    *("converged", "iterations", "evaluations", "message", "seconds"),
)
#: Those that are the record's.
_RECORDED = (
    *("theta", "log_likelihood", "gradient", "hessian", "scores", "covariances"),
    *("se_type", "log_likelihood_at_zero", "converged", "iterations", "evaluations"),
    *("message", "seconds", "method", "simulation_covariances"),
)
_SIZES = ("I", "S", "N", "R")
#: Methods whose estimates maximise a likelihood.
_LIKELIHOODS = {"msl", "corrected"}


class ChoiceResults(ChoiceMethods):
    """Estimates of a :class:`blpdask.ChoiceProblem`.

    Attributes of :class:`blpdask.choice_records.LikelihoodEstimates` are this class's
    too: ``theta`` ``(P,)``, of which spreads have the sign that the search found,
    ``log_likelihood``, ``log_likelihood_at_zero``, ``gradient``, ``hessian`` and
    ``covariances`` ``(P, P)``, ``scores`` ``(I, P)`` of people, ``se_type``,
    ``converged``, ``iterations``, ``evaluations``, ``message``, ``seconds``, ``method``
    and, of simulated moments, ``simulation_covariances``, what draws add to
    ``covariances``. Where the method is not one of likelihood, moments, their Jacobian
    and people's moments stand for ``gradient``, ``hessian`` and ``scores``.
    Tables show spreads with a positive diagonal of L, which explains choices alike.
    """

    def __init__(
        self,
        estimates: LikelihoodEstimates,
        *,
        problem: ChoiceProblem,
        initial_states: InitialStates | None = None,
    ) -> None:
        """Pair estimates with their problem, and with first states in them."""
        self.estimates = estimates
        self.problem: ChoiceProblem | None = problem
        self.initial_states: InitialStates | None = initial_states
        self.fresh: FreshLikelihood | None = None
        self.I, self.S, self.N, self.R = problem.I, problem.S, problem.N, problem.R

    def __getattr__(self, name: str) -> Any:
        """Look attributes up in the record."""
        if name in _RECORDED:
            return getattr(self.estimates, name)
        raise AttributeError(f"ChoiceResults has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        """List the record's attributes with this class's own."""
        return sorted({*super().__dir__(), *_RECORDED})

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the parameters, ``(P,)``."""
        return self.estimates.coefficients.parameter_labels

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the coefficients, ``(K,)``."""
        return self.estimates.coefficients.kinds

    @property
    def standard_errors(self) -> Floats:
        """Of θ, ``(P,)``."""
        lines = parameter_lines(self.estimates)
        return np.array([line.std_error for line in lines])

    @property
    def AIC(self) -> float:
        """Akaike's information criterion."""
        return float(2.0 * self.theta.size - 2.0 * self.log_likelihood)

    @property
    def BIC(self) -> float:
        """Schwarz's information criterion, whose observations are situations."""
        return float(np.log(self.S) * self.theta.size - 2.0 * self.log_likelihood)

    @property
    def rho_squared(self) -> float:
        """McFadden's ρ²."""
        return 1.0 - float(self.log_likelihood / self.log_likelihood_at_zero)

    @property
    def adjusted_rho_squared(self) -> float:
        """McFadden's ρ², adjusted for the number of parameters."""
        fitted = self.log_likelihood - self.theta.size
        return 1.0 - float(fitted / self.log_likelihood_at_zero)

    @cached_property
    def spreads(self) -> Spreads:
        """How random coefficients, before h, vary over people."""
        return compute_spreads(
            self.estimates.coefficients, self.theta, self.covariances
        )

    @property
    def effective_draws(self) -> Floats:
        """Effective numbers of draws of people, ``(I,)``: 1 / Σ_r ω_ir²."""
        return 1.0 / self.estimates.concentrations

    @property
    def fresh_log_likelihood(self) -> float:
        """The log-likelihood at θ with other, more draws.

        It is known after a search with draws around modes (``"laplace"``), or after
        :meth:`compute_fresh_log_likelihood`; else NaN.
        """
        return np.nan if self.fresh is None else self.fresh.log_likelihood

    def compute_fresh_log_likelihood(
        self,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> float:
        """Compute the log-likelihood at θ with four times as many draws, other ones.

        Parameters
        ----------
        engine, threads, backend
            As in :meth:`blpdask.ChoiceProblem.solve`.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.

        Warns
        -----
        NumericalWarning
            Where it differs by more than draws explain.
        """
        problem = require_problem(self.problem)
        faults = Faults("compute_fresh_log_likelihood")
        _check_likelihoods((self,), faults)
        if self.initial_states is not None:
            faults.add(
                "a likelihood with first states in it",
                "one of choices alone, of whose draws there are other ones",
                "solve again with another seed, from start=results.theta and with "
                "Optimization('return')",
            )
        if not isinstance(self.estimates.coefficients, MixedCoefficients):
            faults.add(
                f"{type(self).__name__}",
                "results of a ChoiceProblem",
                "solve again with another seed, from start=results.theta and with "
                "Optimization('return')",
            )
            faults.check()
        if not problem.D or is_shared(problem.integration_rule):
            faults.add(
                f"{'a quadrature' if problem.D else 'no random coefficients'}",
                "draws to replace",
                "estimate with a larger quadrature instead"
                if problem.D
                else "use log_likelihood, which is exact",
            )
        chosen = check_engine(engine, threads, faults)
        faults.check()
        assert chosen is not None
        self.fresh = check_with_fresh_draws(problem, self.estimates, chosen, backend)
        return self.fresh_log_likelihood

    @property
    def sigma(self) -> Floats:
        """Covariances Σ of random coefficients before h, ``(D, D)``."""
        return self.spreads.sigma

    @property
    def sigma_se(self) -> Floats:
        """Standard errors of Σ, ``(D, D)``, by the delta method."""
        return self.spreads.sigma_se

    @property
    def standard_deviations(self) -> Floats:
        """Standard deviations of random coefficients before h, ``(D,)``."""
        return self.spreads.deviations

    @property
    def standard_deviations_se(self) -> Floats:
        """Standard errors of the standard deviations, ``(D,)``."""
        return self.spreads.deviations_se

    @property
    def correlations(self) -> Floats:
        """Correlations of random coefficients before h, ``(D, D)``."""
        return self.spreads.correlations

    @property
    def correlations_se(self) -> Floats:
        """Standard errors of the correlations, ``(D, D)``."""
        return self.spreads.correlations_se

    def run_likelihood_ratio_test(self, restricted: ChoiceResults) -> TestStatistic:
        """Compute the likelihood ratio statistic 2 (LL - LL_restricted).

        Of restrictions that set spreads to zero, the least they can be, its p-value is
        too large (Self and Liang 1987).

        Parameters
        ----------
        restricted
            Results for the same choices with fewer parameters.

        Warns
        -----
        NumericalWarning
            Where the restricted model is the more likely one, as when a search ended
            in a local maximum.
        """
        faults = Faults("run_likelihood_ratio_test")
        if not isinstance(restricted, ChoiceResults):
            faults.add(
                f"restricted of type {type(restricted).__name__}",
                "ChoiceResults",
                "pass the results of a ChoiceProblem",
            )
            faults.check()
        _check_likelihoods((self, restricted), faults)
        sizes = [(r.I, r.S, r.N) for r in (self, restricted)]
        zeros = [float(r.log_likelihood_at_zero) for r in (self, restricted)]
        if sizes[0] != sizes[1] or not np.isclose(
            zeros[0], zeros[1], rtol=1e-10, atol=0.0
        ):
            faults.add(
                f"people, situations and rows {sizes[0]} here and {sizes[1]} there, "
                f"likelihoods of chance {zeros[0]:.8g} and {zeros[1]:.8g}",
                "results for the same choices",
                "estimate both with one table",
            )
        degrees = self.theta.size - restricted.theta.size
        if degrees <= 0:
            faults.add(
                f"{restricted.theta.size} parameters, of {self.theta.size} here",
                "fewer",
                "call the method of the results with more parameters",
            )
        faults.check()
        value = 2.0 * (self.log_likelihood - restricted.log_likelihood)
        if value < 0:
            warnings.warn(
                f"the restricted log-likelihood is higher by {-value / 2:.6g}: a "
                "search ended in a local maximum, or draws differ",
                NumericalWarning,
                stacklevel=2,
            )
        return TestStatistic(value, degrees, name="Likelihood ratio")

    def delta_method(
        self,
        function: Callable[[ChoiceResults], Any],
        *,
        progress: Listener | None = None,
    ) -> DeltaMethod:
        """Compute a function of the parameters, with standard errors.

        The function may use parameters, and ask whatever can be asked of results::

            results.delta_method(lambda at: at.theta[1] / at.theta[0])
            results.delta_method(lambda at: at.compute_probabilities()[:10])

        Parameters
        ----------
        function
            Takes results like these with another ``theta`` ``(P,)``, in the order of
            ``labels``, and what follows from it by methods and spreads; likelihoods and
            errors in them stay those of the estimates. Gives numbers. It is called six
            times a parameter.
        progress
            Who is told of evaluations.

        Returns
        -------
        DeltaMethod
            ``value``, ``standard_errors``, ``covariances`` and ``jacobian``.

        Raises
        ------
        InputError
            Where the function gives what is not a finite number.
        """
        check_function(function)
        return function_of_parameters(
            lambda theta: function(self._moved(theta)),
            self.theta,
            self.covariances,
            choose_likelihood_listener(progress),
        )

    def _moved(self, theta: Floats) -> ChoiceResults:
        """Give these results at other parameters."""
        moved = type(self).__new__(type(self))
        estimates = replace(self.estimates, theta=theta)
        names = ("problem", "initial_states")
        kept = {name: getattr(self, name) for name in names} | {"estimates": estimates}
        moved.__setstate__(self.__getstate__() | kept)
        return moved

    def compute_path_probabilities(
        self,
        choice_data: Any,
        *,
        lag: str = "lag",
        periods: str = "period_ids",
        same: str = "alternative_ids",
        gap: float | None = 1,
        outside: Collection[Any] = (),
        kind: str = "lag",
        decay: float | None = None,
        size: int = 512,
        seed: int = 0,
        engine: Any = None,
        threads: int | None = None,
    ) -> Floats:
        """Compute the probability of each alternative over time, lags the model's own.

        Habits follow from what is chosen, and so do their chances in the next period;
        :meth:`compute_probabilities` takes lags as observed instead, which is wrong of
        other prices than those at which they were.

        Parameters
        ----------
        choice_data
            Table with a row an alternative of people of the problem: the formulation's
            columns, ``person_ids``, the columns named below, and optionally
            ``situation_ids``, ``alternative_ids`` and ``availability``. Prices and
            periods may be others than the problem's.
        lag
            Column of the formulation that is one where the choice before was of the
            row's group, or the group's stock. It is read in a person's first situation
            alone, where it says the first state.
        periods, same, gap, outside, kind, decay
            As in :func:`blpdask.build_lagged_choices` of the lag.
        size, seed
            Of stocks and loyalty, whose paths are simulated: at least how many of them
            a person, and where their uniform numbers come from. Chances of lags are
            exact.
        engine, threads
            As in :meth:`blpdask.ChoiceProblem.solve`.

        Returns
        -------
        Floats
            A probability a row of ``choice_data``, in its order, averaged over draws;
            zero where the row is not available.

        Raises
        ------
        InputError
            With every fault of the table and the arguments.
        BlpdaskError
            Where the results have lost their problem.
        """
        return path_probabilities(
            self,
            choice_data,
            PathColumns(lag, periods, same, gap, outside, stock=kind != "lag"),
            AskedPaths(kind, decay, size, seed),
            engine=engine,
            threads=threads,
        )

    def to_frame(self) -> pd.DataFrame:
        """List the parameters: ``parameter``, ``estimate``, ``std_error``, ``t``.

        Returns
        -------
        pandas.DataFrame
            One row a parameter, spreads with a positive diagonal of L.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "parameter": line.parameter,
                    "estimate": line.estimate,
                    "std_error": line.std_error,
                    "t_statistic": line.t_statistic,
                }
                for line in parameter_lines(self.estimates)
            ]
        )

    @property
    def starts(self) -> pd.DataFrame:
        """Where each of several starts led, in their order, the first one first.

        ``log_likelihood``, NaN where a search failed; ``below_best``; ``distance`` of θ
        from the best one's; ``converged``; ``evaluations``; ``message``. The best one's
        are after Newton's method.
        """
        import pandas as pd

        columns = ("log_likelihood", "converged", "evaluations", "message")
        rows = [
            {
                "start": number,
                **{name: getattr(search, name) for name in columns},
                "below_best": self.log_likelihood - search.log_likelihood,
                "distance": float(np.abs(search.theta - self.theta).max()),
            }
            for number, search in enumerate(self.estimates.searches)
        ]
        order = ["start", "log_likelihood", "below_best", "distance", *columns[1:]]
        return pd.DataFrame(rows, columns=order)

    def to_latex(self) -> str:
        """Write the parameters as a LaTeX tabular."""
        return lines_latex(self.estimates)

    def to_dict(self, attributes: Sequence[str] = ATTRIBUTES) -> dict[str, Any]:
        """Gather attributes by name."""
        return {name: getattr(self, name) for name in attributes}

    def save(self, directory: str | Path, *, overwrite: bool = False) -> None:
        """Write the results, without their problem, as Zarr arrays and JSON.

        Parameters
        ----------
        directory
            Where; read them back with :meth:`load`.
        overwrite
            Whether saved results there may be replaced.
        """
        sizes = {name: getattr(self, name) for name in _SIZES}
        save_likelihood(
            self.estimates, sizes, directory, more=self._kept(), overwrite=overwrite
        )

    def _kept(self) -> dict[str, Floats]:
        """Give arrays by name that are saved beside the estimates."""
        if self.fresh is None:
            return {}
        return {"fresh": np.array(astuple(self.fresh), np.float64)}

    def _restore(self, kept: dict[str, Floats]) -> None:
        """Take arrays that were saved beside the estimates."""
        if "fresh" in kept:
            log_likelihood, draws, *others = kept["fresh"].tolist()
            self.fresh = FreshLikelihood(log_likelihood, int(draws), *others)

    @classmethod
    def load(cls, directory: str | Path) -> ChoiceResults:
        """Read results that :meth:`save` wrote; they have no problem.

        Raises
        ------
        StoreError
            Where the directory holds none, or damaged ones.
        """
        estimates, sizes, kept = read_likelihood(directory)
        found = cls.__new__(cls)
        state = {"estimates": estimates, "problem": None, "fresh": None}
        state["initial_states"] = None
        found.__setstate__(state | sizes)
        found._restore(kept)
        return found

    def to_pickle(self, path: str | Path) -> None:
        """Pickle the results, without their problem; :meth:`save` outlives versions."""
        save_pickle(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the problem behind: results stand on their own."""
        names = ("estimates", *_SIZES, "fresh")
        left = {"problem": None, "initial_states": None}
        return {name: getattr(self, name) for name in names} | left

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what was pickled."""
        self.__dict__.update(state)

    def __str__(self) -> str:
        """Print the fit, the search, estimates and covariances."""
        digits = options.digits
        fit = [
            (("Log-", "Likelihood"), self.log_likelihood),
            (("Of Alternatives", "All Alike"), self.log_likelihood_at_zero),
            (("McFadden's", "Rho Squared"), self.rho_squared),
            (("", "AIC"), self.AIC),
            (("", "BIC"), self.BIC),
        ]
        sections = [
            fit_table(fit, digits),
            search_table(self.estimates),
            *self._draws_tables(digits),
            parameters_table(self.estimates, digits),
        ]
        if self.estimates.coefficients.in_wtp:
            sections.append(describe_wtp(self.estimates.coefficients))
        if self.estimates.searches:
            sections.append(describe_starts(self.estimates))
        if self.estimates.coefficients.correlated:
            error = ERRORS[self.se_type]
            sections.append(covariances_table(self.spreads, error, digits))
        if not self.converged:
            sections.append(f"Warning: the search did not converge: {self.message}")
        return "\n\n".join(sections)

    def _draws_tables(self, digits: int) -> list[str]:
        """Print how well draws serve, where something is random."""
        if not (self.R and self.estimates.concentrations.size):
            return []
        return [
            draws_table(self.R, self.effective_draws, self.fresh_log_likelihood, digits)
        ]

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def _repr_html_(self) -> str:
        """Show the parameters as a table in a notebook."""
        ended = "converged" if self.converged else "not converged"
        caption = (
            f"Log-likelihood {self.log_likelihood:.8g}, {ended}, {self.S} situations "
            f"of {self.I} people"
        )
        return lines_html(self.estimates, caption)


def _check_likelihoods(compared: tuple[ChoiceResults, ...], faults: Faults) -> None:
    """Look for estimates that maximise no likelihood."""
    for method in sorted({str(results.method) for results in compared}):
        if method not in _LIKELIHOODS:
            faults.add(
                f"estimates by method {method!r}",
                "maxima of a likelihood",
                "estimate by 'msl', or test by estimates and their covariances",
            )
