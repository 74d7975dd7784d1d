"""Micro moments of a problem whose data are in a store, on their way into a solve."""

from __future__ import annotations

from dataclasses import replace

from ..driver.engine import Engine
from ..model.parameters import Parameters
from ..problem.prepared import PreparedDemand
from ..problem.stored_problem import StoredProblem
from ..problem.stored_survey_tables import AgentFields
from ..problem.stored_surveys import StoredSurveys
from ..problem.survey_inspection import inspect_blocks
from ..progress import Listener
from .micro_limits import read_limits
from .micro_setup import MicroMoments


def survey_store(
    prepared: PreparedDemand,
    problem: StoredProblem,
    micro: MicroMoments,
    parameters: Parameters,
    engine: Engine,
    listener: Listener,
) -> PreparedDemand:
    """Give a prepared problem blocks with what micro moments ask of them.

    All blocks are asked once, so that every fault is known before an estimation begins.

    Parameters
    ----------
    prepared
        Of the problem.
    problem
        On a store.
    micro
        The moments.
    parameters
        Say which columns of Σ nodes belong to, where there are fewer than K2.
    engine
        Where blocks are asked.
    listener
        Told of the pass.

    Raises
    ------
    InputError
        With every fault of the functions, or of the observed values.
    """
    outline = problem.outline
    agents = AgentFields(
        n_nodes=outline.n_node_columns,
        K2=len(outline.X2_columns),
        node_columns=tuple(map(int, parameters.node_columns)),
        demographics=tuple(column.name for column in outline.agent_columns),
        type_ids=outline.type_ids,
    )
    questions = micro.questions(read_limits())
    blocks = problem.surveyed(StoredSurveys(questions, agents))
    found = inspect_blocks(blocks, engine, listener)
    micro.check_observed(found.spreads)
    micro.warn_of_collinearity(found.value_factors)
    return replace(prepared, source=blocks.sized(found.sizes))
