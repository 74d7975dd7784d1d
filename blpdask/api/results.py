"""Results as PyBLP's users know them: attributes, printed tables, files.

A :class:`ProblemResults` pairs the frozen estimates of one GMM step with the steps
before it and, where it was not read from disk, with its problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import options
from ..estimators.gmm import Minimum
from ..progress import Listener
from ..records import Floats
from ..results import specification_tests
from ..results.choice_store import DESCRIPTION
from ..results.delta_method import DeltaMethod, check_function, delta_method
from ..results.estimates import GmmEstimates
from ..results.identification import Identification, identification
from ..results.micro_table import MicroSummary, as_plain, from_plain, micro_table
from ..results.parameter_places import parameter_places
from ..results.rows_at_rest import RowsAtRest
from ..results.store import read_estimates, read_micro, save_estimates
from ..results.tables import (
    estimates_tables,
    html_table,
    latex_table,
    parameter_rows,
    statistics_table,
    summary_table,
)
from ..results.test_statistic import TestStatistic
from .attributes import ATTRIBUTES, JOINED, LISTS, SCALARS, SUMMED
from .economy_methods import EconomyMethods
from .from_stores import answered_from_stores
from .micro_methods import MicroMethods
from .pickles import save_pickle
from .printing import choose_listener

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.draw_jackknife import DrawJackknife
    from ..analysis.recovered_effects import RecoveredEffects
    from ..results.conduct_table import ConductTest
    from .bootstrapped_results import BootstrappedResults
    from .estimated_economy import EstimatedEconomy
    from .importance_sampling import ImportanceSamplingResults
    from .integration import Integration
    from .iteration import Iteration
    from .moved_results import MovedResults
    from .optimal_instruments import OptimalInstrumentResults
    from .problem import Problem


@answered_from_stores
class ProblemResults(EconomyMethods, MicroMethods):
    """Estimates of a GMM step, with those of the steps before it.

    Attributes are those of :class:`blpdask.results.estimates.GmmEstimates` and PyBLP's:
    ``theta``, ``sigma``, ``pi``, ``rho``, ``phi``, ``beta``, ``gamma`` and their
    ``…_se``, ``objective``, ``gradient``, ``hessian``, ``delta``, ``xi``, ``moments``,
    ``W``, ``updated_W``, counts and times, and ``cumulative_…`` over all steps.
    ``hansen_test``, ``hansen_degrees`` and ``hansen_p_value`` are added.
    """

    #: What micro moments are, of which there may be none.
    micro_moments: tuple[MicroSummary, ...] = ()

    def __init__(
        self,
        steps: Sequence[GmmEstimates],
        *,
        minima: Sequence[Minimum] = (),
        problem: Problem | None = None,
        micro_moments: Sequence[MicroSummary] = (),
    ) -> None:
        """Wrap the steps of an estimation, first to last."""
        self.micro_moments = tuple(micro_moments)
        self._steps = tuple(steps)
        self._minima = tuple(minima)
        self.problem = problem

    @property
    def estimates(self) -> GmmEstimates:
        """The frozen record of this step."""
        return self._steps[-1]

    @property
    def last_results(self) -> ProblemResults | None:
        """Results of the step before, or None."""
        if len(self._steps) == 1:
            return None
        return ProblemResults(
            self._steps[:-1],
            minima=self._minima,
            problem=self.problem,
            micro_moments=self.micro_moments,
        )

    @property
    def MM(self) -> int:
        """The number of micro moments."""
        return len(self.micro_moments)

    def __getattr__(self, name: str) -> Any:
        """Look attributes up in the record, under PyBLP's names."""
        if name.startswith("_"):
            raise AttributeError(name)
        if name in LISTS:
            return list(getattr(self.estimates, name))
        if name in SCALARS:
            return np.array(getattr(self.estimates, name))
        value = getattr(self.estimates, name, None)
        if value is not None:
            # Rows at rest are read as numbers, and so are results saved from them.
            if name == "clipped_costs":
                return np.asarray(value, dtype=np.bool_)
            return np.asarray(value) if isinstance(value, RowsAtRest) else value
        if name in SUMMED:
            return sum(getattr(step, SUMMED[name]) for step in self._steps)
        if name in JOINED:
            return np.hstack([getattr(step, JOINED[name]) for step in self._steps])
        if name == "cumulative_converged":
            return all(step.converged for step in self._steps)
        empty = self._empty_attribute(name)
        if empty is not None:
            return empty
        raise AttributeError(f"ProblemResults has no attribute {name!r}")

    def _empty_attribute(self, name: str) -> Any:
        """Give what PyBLP gives where there is no supply."""
        N, P = self.estimates.n_products, self.estimates.theta.size
        MD = self.estimates.moments.size
        shapes: dict[str, Floats | tuple[Floats, Floats] | list[str]] = {
            "tilde_costs": np.zeros((N, 0)),
            "omega": np.zeros((N, 0)),
            "omega_fe": np.zeros((N, 0)),
            "clipped_costs": np.zeros((N, 1), np.bool_),
            "simulation_covariances": np.zeros((MD, MD)),
            "omega_by_theta_jacobian": np.full((N, P), np.nan),
        }
        return shapes.get(name)

    def __dir__(self) -> list[str]:
        """List PyBLP's attributes with this class's own."""
        return sorted({*super().__dir__(), *ATTRIBUTES})

    def __str__(self) -> str:
        """Print the summary, counts and estimates."""
        digits = options.digits
        sections = [
            summary_table(self.estimates, digits),
            statistics_table(self._steps),
            *estimates_tables(self.estimates, digits),
            *(
                [micro_table(self.micro_moments, self.micro_values, digits)]
                * (self.MM > 0)
            ),
            *[f"Warning: {warning}." for warning in self.estimates.warnings],
        ]
        if self._minima:
            sections.append(self._describe_starts())
        return "\n\n".join(sections)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def _repr_html_(self) -> str:
        """Show the parameters as a table in a notebook."""
        return html_table(self.estimates)

    @property
    def hansen_test(self) -> TestStatistic:
        """Hansen's J with degrees of freedom and p-value."""
        return specification_tests.hansen_test(self.estimates)

    @property
    def hansen_degrees(self) -> int:
        """Degrees of freedom of Hansen's J."""
        return self.hansen_test.dof

    @property
    def hansen_p_value(self) -> float:
        """P-value of Hansen's J, valid where W is the optimal weighting matrix."""
        return self.hansen_test.p_value

    def run_hansen_test(self) -> TestStatistic:
        """Compute Hansen's J statistic."""
        return self.hansen_test

    def run_distance_test(self, unrestricted: ProblemResults) -> TestStatistic:
        """Compute the distance statistic against unrestricted results of one W."""
        return specification_tests.distance_test(self.estimates, unrestricted.estimates)

    def run_lm_test(self, n_restrictions: int | None = None) -> TestStatistic:
        """Compute the Lagrange multiplier statistic.

        Parameters
        ----------
        n_restrictions
            Degrees of freedom; the number of elements of θ where None.
        """
        return specification_tests.lm_test(self.estimates, n_restrictions)

    def run_wald_test(
        self, restrictions: Any, restrictions_jacobian: Any
    ) -> TestStatistic:
        """Compute the Wald statistic of restrictions r = 0 with Jacobian R."""
        return specification_tests.wald_test(
            self.estimates, restrictions, restrictions_jacobian
        )

    def delta_method(
        self,
        function: Callable[[MovedResults], Any],
        *,
        engine: Any = None,
        threads: int | None = None,
        progress: Listener | None = None,
    ) -> DeltaMethod:
        """Compute a function of the parameters, with standard errors.

        The function may use parameters, and ask whatever can be asked of results::

            results.delta_method(lambda at: at.beta[1, 0] / at.sigma[0, 0])
            results.delta_method(lambda at: at.compute_markups().mean())

        Answers are those at the parameters and the δ at which they explain observed
        shares; each parameter takes six of them.

        Parameters
        ----------
        function
            Takes a record whose ``sigma``, ``pi``, ``rho``, ``beta``, ``gamma`` and
            ``sigma_squared`` are matrices as in these results, and whose methods are
            those of these results; gives numbers.
        engine, threads, progress
            What solves for δ, as in :meth:`blpdask.Problem.solve`, and who is told of
            evaluations.

        Returns
        -------
        DeltaMethod
            ``value``, ``standard_errors``, ``covariances`` and ``jacobian``.

        Raises
        ------
        BlpdaskError
            Where the function asks more than parameters of results that have lost their
            problem, or whose data are in a store.
        InputError
            Where the function gives what is not a finite number.
        """
        from .moved_results import EconomiesNear, asked_of_results

        check_function(function)
        places = parameter_places(self.estimates)
        near = EconomiesNear(self, engine, threads)
        asked = asked_of_results(function, places, near, self.estimates.theta.size)
        return delta_method(self.estimates, asked, choose_listener(progress))

    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Give the problem at its estimates.

        Parameters
        ----------
        what
            Is asked for, for messages.
        """
        from .estimated_economy import of_problem

        return of_problem(self, what)

    def compute_identification(self) -> Identification:
        """Say how far the moments tell the parameters apart."""
        return identification(self.estimates)

    def recover_effects(
        self,
        variable: str | None = None,
        product_data: Any = None,
        *,
        side: str = "demand",
    ) -> RecoveredEffects:
        """Give fixed effects and their covariances, for :func:`blpdask.second_stage`.

        Parameters
        ----------
        variable
            Whose effects are meant, as ``"product_ids"`` of ``C(product_ids)``,
            absorbed or among the columns; the one absorbed effect where None. Of two
            absorbed effects, the other one's levels average zero over rows.
        product_data
            Table that names the levels of an absorbed effect, where the problem does
            not know them.
        side
            ``"demand"`` for effects of X1, ``"supply"`` for those of X3.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem, or its data are in a store.
        InputError
            Where there is no such effect, absorbed or in dummies, or levels of two are
            not determined.
        """
        from .recovered_effects import recover_effects

        return recover_effects(self, variable, product_data, side)

    def to_frame(self) -> pd.DataFrame:
        """List the parameters with standard errors, t statistics and intervals.

        Returns
        -------
        pandas.DataFrame
            One row a parameter: ``matrix``, ``row``, ``column``, ``kind``,
            ``estimate``, ``std_error``, ``t_statistic`` and the ends of the 95 %
            interval.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "matrix": row.matrix,
                    "row": row.row,
                    "column": row.column,
                    "kind": row.kind,
                    "estimate": row.estimate,
                    "std_error": row.std_error,
                    "t_statistic": row.t_statistic,
                    "lower_95": row.estimate - _NORMAL_975 * row.std_error,
                    "upper_95": row.estimate + _NORMAL_975 * row.std_error,
                }
                for row in parameter_rows(self.estimates)
            ]
        )

    def starts_frame(self) -> pd.DataFrame:
        """List where each starting point led: objective, distance to the best."""
        import pandas as pd

        ranked = sorted(self._minima, key=lambda minimum: minimum.rank)
        return pd.DataFrame(
            [
                {
                    "start": number,
                    "objective": minimum.objective,
                    "above_best": minimum.objective - ranked[0].objective,
                    "distance": float(
                        np.abs(minimum.outcome.theta - ranked[0].outcome.theta).max()
                    ),
                    "converged": minimum.outcome.converged and not minimum.failed,
                    "evaluations": minimum.outcome.evaluations,
                }
                for number, minimum in enumerate(self._minima)
            ]
        )

    def to_latex(self) -> str:
        """Write the parameters as a LaTeX tabular."""
        return latex_table(self.estimates)

    def to_dict(self, attributes: Sequence[str] = ATTRIBUTES) -> dict[str, Any]:
        """Gather attributes by name."""
        return {name: getattr(self, name) for name in attributes}

    def save(self, directory: str | Path, *, overwrite: bool = False) -> None:
        """Write the results to a directory of Zarr arrays and JSON, without pickle.

        Parameters
        ----------
        directory
            Where; read them back with :func:`blpdask.read_results`.
        overwrite
            Whether saved results there may be replaced.
        """
        micro = as_plain(self.micro_moments)
        save_estimates(self._steps, directory, overwrite=overwrite, micro=micro)

    def to_pickle(self, path: str | Path) -> None:
        """Pickle the results, for PyBLP scripts; :meth:`save` outlives versions."""
        save_pickle(self, path)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the problem behind: results stand on their own."""
        kept = {name: getattr(self, name) for name in ("_steps", "_minima")}
        return kept | {"problem": None, "micro_moments": self.micro_moments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what was pickled."""
        self.__dict__.update(state)

    def compute_integration_error(
        self,
        integrations: Sequence[Integration] | Integration,
        agent_data: Any = None,
        *,
        engine: Any = None,
        backend: str = "numba",
    ) -> pd.DataFrame:
        """Compare shares and objective at these estimates under other rules.

        Parameters
        ----------
        integrations
            Rules to compare with: fresh seeds of the rule that was used show its noise,
            finer rules its error.
        agent_data
            Demographics for them, the problem's own where None.
        engine, backend
            As in :meth:`Problem.solve`.

        Returns
        -------
        pandas.DataFrame
            One row a rule: ``rule``, ``agents`` a market, ``largest_share_error`` and
            ``share_error`` (root mean square), relative, ``objective`` at the same
            parameters, and ``change`` against these results' objective.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.
        """
        import pandas as pd

        from .integration_error import compare_rules

        return pd.DataFrame(
            compare_rules(self, integrations, agent_data, engine, backend)
        )

    def draw_jackknife(
        self, parts: int = 2, seed: int = 0, **settings: Any
    ) -> DrawJackknife:
        """Take out the bias of few draws by estimates on parts of them.

        Freyberger's (2015) jackknife: the problem is estimated again on each of
        disjoint parts of every market's draws, from these estimates and with their
        weights, one step each.

        Parameters
        ----------
        parts
            How many parts, K; two halves by default.
        seed
            By which agents that come from data are dealt out; parts of a rule's draws
            are runs of them.
        **settings
            How parts are solved, as in :meth:`Problem.solve`: ``optimization``,
            ``iteration``, ``engine``, ``costs_bounds``, ….

        Returns
        -------
        DrawJackknife
            ``parameters`` without the first-order bias, the ``bias``, and ``parts``.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem, or its data are in a store.
        InputError
            Where agents are no draws of equal weight, or cannot be split evenly.
        """
        from .draw_jackknife import draw_jackknife

        return draw_jackknife(self, parts, seed, settings)

    def bootstrap(
        self,
        draws: int = 1000,
        seed: int | None = None,
        iteration: Iteration | None = None,
        constant_costs: bool = True,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        progress: Listener | None = None,
    ) -> BootstrappedResults:
        """Draw parameters around their estimates, and solve for what they imply.

        Parameters are drawn from the normal distribution of the estimates, and put on
        their bounds where beyond; ξ and ω are held. With a supply side prices are those
        of equilibrium.

        Parameters
        ----------
        draws, seed
            How many, and the seed of PyBLP's stream.
        iteration
            How prices of equilibrium are found, as in
            :meth:`blpdask.Simulation.replace_endogenous`.
        constant_costs
            Whether costs stay as they are where X3 has shares.
        engine, threads, backend, progress
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        BootstrappedResults
            Whose methods are these results', with a leading axis of draws.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem, its data are in a store, or
            covariances are not finite.
        InputError
            With every fault of the arguments.
        """
        from .bootstrap import BootstrapRequest, bootstrap

        return bootstrap(
            self,
            BootstrapRequest(
                draws=draws,
                seed=seed,
                iteration=iteration,
                constant_costs=constant_costs,
                engine=engine,
                threads=threads,
                backend=backend,
                progress=progress,
            ),
        )

    def compute_optimal_instruments(
        self,
        method: str = "approximate",
        draws: int = 1,
        seed: int | None = None,
        expected_prices: Any = None,
        iteration: Iteration | None = None,
        constant_costs: bool = True,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        blocks: int | None = None,
        progress: Listener | None = None,
    ) -> OptimalInstrumentResults:
        """Estimate feasible optimal instruments, Σ⁻¹ E[∂(ξ, ω)/∂θ | Z].

        Parameters
        ----------
        method
            ``"approximate"`` takes derivatives where ξ and ω are zero; ``"normal"`` and
            ``"empirical"`` average them over errors drawn from a normal distribution,
            or from the estimates with replacement.
        draws, seed
            How many, and the seed of PyBLP's stream.
        expected_prices
            E[p | Z] ``(N,)``. Where None, prices of equilibrium at each draw with a
            supply side whose X3 has no shares; else what Z_D and effects predict.
        iteration
            How prices of equilibrium are found, as in
            :meth:`blpdask.Simulation.replace_endogenous`. Where X3 has shares, passing
            it asks for prices of equilibrium.
        constant_costs
            Whether costs stay as they are where X3 has shares.
        engine, threads, backend, blocks, progress
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        OptimalInstrumentResults
            Whose ``to_problem`` gives the problem with these instruments.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem, or its data are in a store.
        InputError
            With every fault of the arguments.
        """
        from .optimal_instruments import compute_optimal_instruments

        return compute_optimal_instruments(
            self,
            method,
            draws,
            seed,
            expected_prices,
            iteration,
            constant_costs,
            engine=engine,
            threads=threads,
            backend=backend,
            blocks=blocks,
            progress=progress,
        )

    def importance_sampling(
        self,
        draws: int,
        ar_constant: float = 1.0,
        seed: int | None = None,
        agent_data: Any = None,
        integration: Integration | None = None,
        delta: Any = None,
    ) -> ImportanceSamplingResults:
        """Sample agents who buy at these estimates, for better integration with few.

        Parameters
        ----------
        draws
            How many agents to keep in each market.
        ar_constant
            Candidates are accepted with their probability to buy over this number, at
            least one.
        seed
            Of PyBLP's stream.
        agent_data
            Candidates, as in :class:`blpdask.Problem`; their weights are not looked at.
            The problem's own where None.
        integration
            Rule that builds candidates' nodes instead of the data.
        delta
            ``(N,)`` δ at which probabilities are; these estimates' where None.

        Returns
        -------
        ImportanceSamplingResults
            Whose ``to_problem`` gives the problem with these agents.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem, or its data are in a store.
        InputError
            With every fault of the arguments, or where too few agents are accepted.
        """
        from .importance_sampling import importance_sampling

        return importance_sampling(
            self, draws, ar_constant, seed, agent_data, integration, delta
        )

    def run_conduct_test(
        self,
        models: Sequence[Any],
        instruments: Any = None,
        cost_formulation: Any = None,
        **settings: Any,
    ) -> ConductTest:
        """Test models of how firms set prices against each other.

        Tests of Rivers and Vuong (2002) as Duarte, Magnolfi, Sølvsten and Sullivan
        (2024) make them (:mod:`blpdask.analysis.rivers_vuong`).

        Parameters
        ----------
        models
            Two or more :class:`blpdask.ConductModel`, or names of kinds, such as
            ``["bertrand", "monopoly", "perfect_competition"]``.
        instruments
            ``(N, Q)`` what moves markups and does not shift costs; the problem's
            ``supply_instruments`` where None.
        cost_formulation
            Formulation of what shifts costs, with effects to absorb; X3 where None.
        **settings
            ``product_data``, of variables that the problem's formulas do not name;
            ``costs_type``, ``"linear"`` or ``"log"``, the problem's by default;
            ``se_type``, ``"robust"`` or ``"clustered"``, the latter by default where
            there are clusters; ``demand_adjustment=True``, whether variances know that
            demand was estimated; ``draws=100_000`` and ``seed=0`` of the model
            confidence set; ``engine``, ``threads``, ``backend`` and ``blocks`` as in
            :meth:`blpdask.Problem.solve`.

        Returns
        -------
        ConductTest
            Statistics, p-values and strength of instruments of all pairs, and the model
            confidence set.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem, or its data are in a store.
        InputError
            With every fault of the arguments.
        NumericalError
            Where a model implies no markups, or no positive costs in logs.
        """
        from .conduct import ConductRequest, run_conduct_test

        request = ConductRequest(models, instruments, cost_formulation, **settings)
        return run_conduct_test(self, request)

    def plot_estimates(self, ax: Any = None) -> Any:
        """Plot estimates of Σ, Π, β and γ with 95 % intervals."""
        from .plots import plot_estimates

        return plot_estimates(self.estimates, ax)

    def _describe_starts(self) -> str:
        good = [m.objective for m in self._minima if not any(m.rank[:2])]
        values = np.array(good or [np.nan])
        failed = len(self._minima) - len(good)
        best = values.min()
        near = int((values - best <= 1e-6 * max(1.0, abs(best))).sum())
        described = (
            f"Starting points: {len(self._minima)}; {near} led to the best objective, "
            f"{best:.8g}"
        )
        others = np.sort(values)[near:]
        if others.size:
            described += f", the others to {others[0]:.8g} up to {others[-1]:.8g}"
        return f"{described}; {failed} failed." if failed else f"{described}."


#: The 97.5 % quantile of the standard normal distribution.
_NORMAL_975 = 1.959963984540054


def read_results(directory: str | Path) -> Any:
    """Read results that a method ``save`` wrote, of markets or of people's choices.

    Returns
    -------
    ProblemResults or ChoiceResults
        Results without their problem.

    Raises
    ------
    StoreError
        Where the directory holds none, or damaged ones.
    """
    if (Path(directory) / DESCRIPTION).exists():
        from .saved_choices import read_choice_results

        return read_choice_results(directory)
    return ProblemResults(
        read_estimates(directory), micro_moments=from_plain(read_micro(directory))
    )
