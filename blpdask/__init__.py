"""Demand estimation for differentiated products, many times faster than its peers.

The vocabulary is PyBLP's (Conlon and Gortmaker 2020): a script written for it runs
after changing its import. Names are imported where they are first used, so that
importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import exceptions, options
    from .api import data
    from .api.bootstrapped_results import BootstrappedResults
    from .api.choice_lags import build_lagged_choices
    from .api.choice_problem import ChoiceProblem
    from .api.choice_results import ChoiceResults
    from .api.choice_stores import ChoiceStore, build_choice_store, open_choice_store
    from .api.conduct_models import ConductModel
    from .api.construction import (
        build_blp_instruments,
        build_differentiation_instruments,
        build_id_data,
        build_ownership,
    )
    from .api.formulation import Formulation, build_matrix
    from .api.hausman import build_hausman_instruments
    from .api.importance_sampling import ImportanceSamplingResults
    from .api.initial_conditions import build_initial_conditions
    from .api.initial_states import InitialStates
    from .api.instrument_selection import InstrumentSelection, select_instruments
    from .api.integration import Integration, build_integration
    from .api.iteration import Iteration
    from .api.latent_class_problem import LatentClassProblem
    from .api.latent_class_results import LatentClassResults
    from .api.micro import MicroDataset, MicroMoment, MicroPart
    from .api.nested_choice_problem import NestedChoiceProblem
    from .api.nested_choice_results import NestedChoiceResults
    from .api.observed_moments import ObservedMoments, observe_micro_moments
    from .api.optimal_instruments import OptimalInstrumentResults
    from .api.optimization import Optimization
    from .api.optimization_progress import OptimizationProgress
    from .api.parallel import parallel
    from .api.pickles import read_pickle, save_pickle
    from .api.problem import Problem
    from .api.profit_weights import build_profit_weights
    from .api.resamples import Resamples
    from .api.results import ProblemResults, read_results
    from .api.second_stage import second_stage
    from .api.simulation import Simulation
    from .api.simulation_results import SimulationResults
    from .api.stores import Store, build_store, open_store, simulate_store
    from .api.structured_tables import data_to_dict
    from .api.taxes import Taxes
    from .simulation.household_panels import simulate_panel
    from .simulation.panel_design import PanelDesign

__version__ = "0.1.0"

__all__ = [
    "BootstrappedResults",
    "ChoiceProblem",
    "ChoiceResults",
    "ChoiceStore",
    "ConductModel",
    "Formulation",
    "ImportanceSamplingResults",
    "InitialStates",
    "InstrumentSelection",
    "Integration",
    "Iteration",
    "LatentClassProblem",
    "LatentClassResults",
    "MicroDataset",
    "MicroMoment",
    "MicroPart",
    "NestedChoiceProblem",
    "NestedChoiceResults",
    "ObservedMoments",
    "OptimalInstrumentResults",
    "Optimization",
    "OptimizationProgress",
    "PanelDesign",
    "Problem",
    "ProblemResults",
    "Resamples",
    "Simulation",
    "SimulationResults",
    "Store",
    "Taxes",
    "build_blp_instruments",
    "build_choice_store",
    "build_differentiation_instruments",
    "build_hausman_instruments",
    "build_id_data",
    "build_initial_conditions",
    "build_integration",
    "build_lagged_choices",
    "build_matrix",
    "build_ownership",
    "build_profit_weights",
    "build_store",
    "data",
    "data_to_dict",
    "exceptions",
    "observe_micro_moments",
    "open_choice_store",
    "open_store",
    "options",
    "parallel",
    "read_pickle",
    "read_results",
    "save_pickle",
    "second_stage",
    "select_instruments",
    "simulate_panel",
    "simulate_store",
]

#: Where each public name lives; modules stand for themselves.
_HOMES = {
    "BootstrappedResults": "api.bootstrapped_results",
    "ChoiceProblem": "api.choice_problem",
    "ChoiceResults": "api.choice_results",
    "ChoiceStore": "api.choice_stores",
    "ConductModel": "api.conduct_models",
    "Formulation": "api.formulation",
    "ImportanceSamplingResults": "api.importance_sampling",
    "InitialStates": "api.initial_states",
    "InstrumentSelection": "api.instrument_selection",
    "Integration": "api.integration",
    "Iteration": "api.iteration",
    "LatentClassProblem": "api.latent_class_problem",
    "LatentClassResults": "api.latent_class_results",
    "MicroDataset": "api.micro",
    "MicroMoment": "api.micro",
    "MicroPart": "api.micro",
    "NestedChoiceProblem": "api.nested_choice_problem",
    "NestedChoiceResults": "api.nested_choice_results",
    "ObservedMoments": "api.observed_moments",
    "OptimalInstrumentResults": "api.optimal_instruments",
    "Optimization": "api.optimization",
    "OptimizationProgress": "api.optimization_progress",
    "PanelDesign": "simulation.panel_design",
    "Problem": "api.problem",
    "ProblemResults": "api.results",
    "Resamples": "api.resamples",
    "Simulation": "api.simulation",
    "SimulationResults": "api.simulation_results",
    "Store": "api.stores",
    "Taxes": "api.taxes",
    "build_blp_instruments": "api.construction",
    "build_choice_store": "api.choice_stores",
    "build_differentiation_instruments": "api.construction",
    "build_hausman_instruments": "api.hausman",
    "build_id_data": "api.construction",
    "build_initial_conditions": "api.initial_conditions",
    "build_integration": "api.integration",
    "build_lagged_choices": "api.choice_lags",
    "build_matrix": "api.formulation",
    "build_ownership": "api.construction",
    "build_profit_weights": "api.profit_weights",
    "build_store": "api.stores",
    "data_to_dict": "api.structured_tables",
    "observe_micro_moments": "api.observed_moments",
    "open_choice_store": "api.choice_stores",
    "open_store": "api.stores",
    "parallel": "api.parallel",
    "read_pickle": "api.pickles",
    "read_results": "api.results",
    "save_pickle": "api.pickles",
    "second_stage": "api.second_stage",
    "select_instruments": "api.instrument_selection",
    "simulate_panel": "simulation.household_panels",
    "simulate_store": "api.stores",
}
_MODULES = {"data": "api.data", "exceptions": "exceptions", "options": "options"}


#: Classes of PyBLP's that are one class here.
_ALIASES = {
    "ImportanceSamplingProblem": "Problem",
    "OptimalInstrumentProblem": "Problem",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _ALIASES:
        value = __getattr__(_ALIASES[name])
    elif name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    elif name in _MODULES:
        value = importlib.import_module(f".{_MODULES[name]}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
