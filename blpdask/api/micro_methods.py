"""Methods on micro data that results of problems and of simulations share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Floats
from .at_parameters import AtParameters

if TYPE_CHECKING:
    from .estimated_economy import EstimatedEconomy
    from .integration import Integration
    from .micro import MicroDataset, MicroMoment


class MicroMethods(AtParameters):
    """What a model at its parameters says about surveys, under PyBLP's names."""

    def _surveyed_economy(self, what: str) -> EstimatedEconomy:
        """Give the problem at its parameters, whose agents surveys can ask."""
        from .estimated_economy import check_surveyed

        return check_surveyed(self.estimated_economy(what), what)

    def compute_micro_values(
        self,
        micro_moments: Sequence[MicroMoment],
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute what the model says of micro moments, f_m(v).

        Parameters
        ----------
        micro_moments
            The moments, whose ``value`` is not looked at.
        engine, threads, backend
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        numpy.ndarray
            ``(MM,)`` f_m(v).

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem, or its data are in a store.
        InputError
            With every fault of the arguments, or of the moments' functions.
        """
        from .micro_results import micro_values

        economy = self._surveyed_economy("compute_micro_values")
        return micro_values(economy, micro_moments, engine, threads, backend)

    def simulate_micro_data(
        self, dataset: MicroDataset, seed: int | None = None
    ) -> np.recarray[Any, Any]:
        """Draw a dataset's observations, as if the model were true.

        Agents and choices are drawn in proportion to w_i P_ij W_dij
        (:mod:`blpdask.analysis.simulated_surveys`).

        Parameters
        ----------
        dataset
            The survey, with as many ``observations`` as are to be drawn.
        seed
            Of the sample, which depends on nothing else: the order of markets is the
            sorted one. From the system where None.

        Returns
        -------
        numpy.recarray
            ``micro_ids``, ``market_ids``, ``agent_indices`` of agents in their market,
            ``choice_indices`` and, where the survey asks for them,
            ``second_choice_indices``, from zero along the axes of the survey's weights:
            zero is the outside option where it is a choice. Nodes and demographics can
            be merged in on markets and agents, characteristics on markets and choices.

        Raises
        ------
        BlpdaskError
            As :meth:`compute_micro_values` does, and where integration weights are
            negative.
        InputError
            With every fault of the arguments, or of the dataset's function.
        """
        from .micro_results import simulated_micro_data

        economy = self._surveyed_economy("simulate_micro_data")
        return simulated_micro_data(economy, dataset, seed)

    def compute_micro_scores(
        self,
        dataset: MicroDataset,
        micro_data: Any,
        integration: Integration | None = None,
    ) -> list[Floats]:
        """Compute scores of a dataset's observations, ∂log P_n/∂θ.

        The mean of a parameter's scores is the observed value of an optimal micro
        moment. ``compute_weights`` of the dataset is called with observations in the
        place of a market's agents, many at a time. Unlike PyBLP's, P_n is given the
        whole dataset: its denominator sums over all markets of the dataset, also over
        those without observations (:mod:`blpdask.analysis.micro_scores`).

        Parameters
        ----------
        dataset
            The survey.
        micro_data
            Table with ``market_ids``, ``choice_indices`` and, where the survey asks for
            second choices, ``second_choice_indices``, all from zero along the axes of
            the survey's weights; variables of ``agent_formulation``; ``availability0``,
            … where agents have it. Without ``integration`` an observation has a row for
            each node that it is integrated over: ``micro_ids``, sorted, ``nodes0``, …
            and ``weights``.
        integration
            Rule that builds nodes and weights of each row, which then is an
            observation.

        Returns
        -------
        list
            For each parameter of θ, ``(n,)`` scores; NaN where the survey could not
            have made the observation, zero for parameters that move no choices.

        Raises
        ------
        BlpdaskError
            As :meth:`compute_micro_values` does.
        InputError
            With every fault of the arguments, or of the dataset's function.
        """
        from .micro_results import scores_of_observations

        economy = self._surveyed_economy("compute_micro_scores")
        return scores_of_observations(economy, dataset, micro_data, integration)

    def compute_agent_scores(
        self,
        dataset: MicroDataset,
        micro_data: Any = None,
        integration: Integration | None = None,
    ) -> list[dict[Any, Floats]]:
        """Compute scores of all choices of agents, the values of optimal moments.

        Parameters
        ----------
        dataset
            The survey.
        micro_data
            As in :meth:`compute_micro_scores`, without choices; each of the problem's
            agents, with weight one, where None.
        integration
            As in :meth:`compute_micro_scores`; for the problem's agents, it builds what
            they are integrated over in place of their nodes.

        Returns
        -------
        list
            For each parameter of θ, a mapping from markets to scores of the shape of
            the survey's weights; NaN where a choice has no probability.

        Raises
        ------
        BlpdaskError
            As :meth:`compute_micro_values` does.
        InputError
            With every fault of the arguments, or of the dataset's function.
        """
        from .micro_results import scores_of_agents

        economy = self._surveyed_economy("compute_agent_scores")
        return scores_of_agents(economy, dataset, micro_data, integration)
