"""How agents are redrawn to measure simulation error: by a rule, or by a function.

PyBLP's ``resample_agent_data`` is a function that gives a table of agents for 0, 1, …
and then None. :class:`Resamples` says the same in a word: redraw the nodes by the rule
they come from, with a stream that workers rebuild themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataWarning, Fault, Faults, InputError
from ..estimators.simulation_error import (
    GivenResamples,
    KeyedResamples,
    Resampling,
)
from ..integration.rules import Rule
from ..moments.simulation_error import GivenAgents, Scaling
from ..moments.weighting import is_clustered
from ..problem.agents import Agents
from ..problem.fields import some
from ..problem.prepared import PreparedDemand
from ..records import Integers
from .integration import Integration

#: Below a recording's directory.
REPLICATES = "replicates"


class Resamples:
    """Redraw the nodes of agents by a rule, market by market; demographics stay.

    Each market has a stream of its own, keyed by (seed, market, replicate), so that the
    numbers depend on nothing else. Scrambled sequences are so randomised independently
    in every market.

    Parameters
    ----------
    replicates
        How many times, R, at least two. S_sim has rank R - 1 at most.
    seed
        Of all replicates.
    integration
        The rule that the nodes come from, the problem's own where None. Other nodes
        than those that estimates are made with would measure another rule's error.
    directory
        Where replicates are kept as they come, so that a solve that was killed goes on
        between two of them. Where None, with the recording if the solve has
        ``resume=``, else nowhere.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> Resamples(50, seed=1)
    Resamples(replicates=50, seed=1)
    """

    def __init__(
        self,
        replicates: int,
        seed: int = 0,
        integration: Integration | None = None,
        directory: str | Path | None = None,
    ) -> None:
        """Check the arguments."""
        faults = Faults("Resamples")
        for name, value, least in (("replicates", replicates, 2), ("seed", seed, 0)):
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < least:
                faults.add(
                    f"{name}={value!r}",
                    f"a whole number, at least {least}",
                    f"correct {name}",
                )
        if integration is not None and not isinstance(integration, Integration):
            faults.add(
                f"integration of type {type(integration).__name__}",
                "an Integration or None",
                "configure one, for example Integration('monte_carlo', 100)",
            )
        faults.check()
        self.replicates = int(replicates)
        self.seed = int(seed)
        self.integration = integration
        self.directory = None if directory is None else Path(directory)

    def __repr__(self) -> str:
        """Show how to make it."""
        return f"Resamples(replicates={self.replicates}, seed={self.seed})"


def check_resampling(
    given: Any,
    scaling: Scaling,
    *,
    rule: Rule | None,
    agents: Agents,
    read: Callable[[Any], Agents],
    faults: Faults,
) -> Resampling | None:
    """Turn what a user says about resampling into what an estimator does.

    Parameters
    ----------
    given
        None, :class:`Resamples`, or a function.
    scaling
        How S_sim is scaled.
    rule
        The rule of the problem's nodes, None where they are data.
    agents
        The problem's agents.
    read
        Reads a table of agents as the problem's own was.
    faults
        What every fault is added to.
    """
    if given is None:
        return None
    if not agents.weights.size:
        faults.add(
            "resample_agent_data without agents",
            "random coefficients, whose agents can be redrawn",
            "leave resample_agent_data out",
        )
    elif isinstance(given, Resamples):
        chosen = rule if given.integration is None else given.integration.rule
        _check_rule(chosen, faults)
        if chosen is not None and chosen.is_simulation:
            bounds = agents.weights.min(), agents.weights.max()
            remedy = "or a function that gives tables of agents"
            check_nodes(chosen, np.diff(agents.offsets), bounds, faults, remedy)
        if chosen is not None:
            keyed = KeyedResamples(
                chosen, given.replicates, given.seed, given.directory
            )
            return Resampling(keyed, scaling)
    elif callable(given):
        if agents.availability is not None or agents.product_demographics is not None:
            faults.add(
                "a function that redraws agents whose availability or demographics "
                "differ over products",
                "a Resamples, which redraws nodes and leaves those as they are",
                "pass Resamples(50), for example",
            )
        draw = _reader(given, read, agents)
        return Resampling(GivenResamples(draw), scaling)
    else:
        faults.add(
            f"resample_agent_data of type {type(given).__name__}",
            "None, a Resamples, or a function of an index",
            "pass Resamples(50), for example",
        )
    return None


def kept_in(given: Any, directory: Path | None) -> Any:
    """Keep replicates of a rule with a recording where they are kept nowhere yet.

    Parameters
    ----------
    given
        None, :class:`Resamples`, or a function, which stays as it is: its resamples are
        sums over blocks, and recorded.
    directory
        Of the recording; None for none.
    """
    if directory is None or not isinstance(given, Resamples) or given.directory:
        return given
    return Resamples(
        given.replicates, given.seed, given.integration, directory / REPLICATES
    )


def named_by(resampling: Resampling | None) -> tuple[Any, ...]:
    """Say by what resampling is known again, for a recording.

    Where replicates are kept changes no number. Tables that a function gives are
    recorded with the sums that are made of them, each by its contents.

    Parameters
    ----------
    resampling
        What an estimator does.
    """
    if resampling is None:
        return ()
    if isinstance(resampling.resamples, KeyedResamples):
        return replace(resampling.resamples, directory=None), resampling.scaling
    return "function", resampling.scaling


def warn_of_clusters(problem: PreparedDemand, kinds: Sequence[str]) -> None:
    """Warn where clusters of whole markets hold simulation error already.

    Parameters
    ----------
    problem
        Which knows whether clusters are made of whole markets.
    kinds
        How covariances of moments are estimated.
    """
    if any(map(is_clustered, kinds)) and problem.clusters_of_markets:
        warnings.warn(
            "moments are clustered by whole markets, and their covariance holds the "
            "simulation error of draws that differ between clusters already; "
            "resample_agent_data adds it a second time",
            DataWarning,
            stacklevel=3,
        )


def check_nodes(
    rule: Rule,
    counts: Integers,
    weights: tuple[float, float],
    faults: Faults,
    otherwise: str = "",
) -> None:
    """Check that a rule could have made a problem's agents.

    Parameters
    ----------
    rule
        That draws at random.
    counts
        ``(T,)`` I_t.
    weights
        The least and the largest of all agents' weights.
    faults
        What a fault is added to.
    otherwise
        What else can be done.
    """
    low, high = weights
    equal = np.allclose(weights, 1 / rule.size, rtol=1e-8, atol=0)
    if not ((counts == rule.size).all() and equal):
        faults.add(
            f"resamples of {rule.size} nodes of equal weight, but markets with "
            f"{counts.min()} to {counts.max()} agents of weights {low:.6g} to "
            f"{high:.6g}",
            "the rule that the estimates are made with",
            ", ".join(filter(None, ("pass that rule as integration", otherwise))),
        )


def _check_rule(rule: Rule | None, faults: Faults) -> None:
    """Check that there is a rule, and that it draws at random."""
    if rule is None:
        faults.add(
            "Resamples without integration, where agent_data gives the nodes",
            "the rule that the nodes were drawn by",
            "pass it as Resamples(..., integration=...), or pass a function that gives "
            "tables of agents",
        )
        return
    if not rule.is_simulation:
        faults.add(
            f"resamples of the rule {rule.specification!r}, which draws nothing",
            "a rule with random draws",
            "leave resample_agent_data out; compute_integration_error shows a "
            "quadrature's error",
        )


def _reader(
    function: Callable[[int], Any], read: Callable[[Any], Agents], agents: Agents
) -> Callable[[int], GivenAgents | None]:
    """Call a function and read its table, with errors that name the index."""

    def draw(index: int) -> GivenAgents | None:
        subject = f"resample_agent_data({index})"
        try:
            table = function(index)
        except Exception as error:
            fault = Fault(
                f"{type(error).__name__}: {error}",
                "a table of agents, or None after the last",
                "correct the function",
            )
            raise InputError(subject, (fault,)) from error
        if table is None:
            return None
        try:
            drawn = read(table)
        except InputError as error:
            raise InputError(subject, error.faults) from error
        _check_columns(drawn, agents, subject)
        draws = np.hstack([drawn.nodes, drawn.demographics])
        return GivenAgents(drawn.offsets, draws, drawn.weights, drawn.types)

    return draw


def _check_columns(drawn: Agents, agents: Agents, subject: str) -> None:
    """Check that redrawn agents have the columns of the problem's."""
    faults = Faults(subject)
    for name in ("nodes", "demographics"):
        found = getattr(drawn, name).shape[1]
        expected = getattr(agents, name).shape[1]
        if found != expected:
            faults.add(
                f"{found} columns of {name}",
                f"{expected}, as in the problem's agents",
                "give a table with the same columns",
            )
    if drawn.type_ids != agents.type_ids:
        faults.add(
            f"types {some(drawn.type_ids) or 'none'}",
            f"those of the problem's agents: {some(agents.type_ids) or 'none'}",
            "give a table with agents of the same types",
        )
    elif (_type_pairs(agents) - _type_pairs(drawn)) != set():
        faults.add(
            "markets without agents of types that they had",
            "agents of the same types in every market",
            "give a table with such agents",
        )
    faults.check()


def _type_pairs(agents: Agents) -> set[tuple[int, int]]:
    """List pairs of a market and a type that agents with weights are of."""
    if agents.types is None:
        return set()
    there = agents.weights > 0
    pairs = zip(agents.market_codes[there], agents.types[there], strict=True)
    return {(int(t), int(r)) for t, r in pairs}
