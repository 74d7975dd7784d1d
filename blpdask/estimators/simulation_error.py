"""How much of S is simulation error: redraw the agents at the estimates.

See :mod:`blpdask.moments.simulation_error` for what is computed and why. Keyed
resamples are whole replicates, one a worker, which rebuilds the draws itself; tables
that a user's function gives are sent to the blocks one resample at a time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..driver.engine import Placement
from ..driver.replicates import Counter, Stacked, fields_like, run_replicates, stack
from ..errors import Fault, InputError, NumericalError, NumericalWarning
from ..integration.rules import Rule
from ..model.parameters import Parameters, tastes_at
from ..moments.demand import DemandState, DemandSums
from ..moments.objective import GmmPoint, LinearGmm
from ..moments.simulation_error import (
    GivenAgents,
    KeyedDraws,
    ResampledMoments,
    ResampleState,
    Scaling,
    at_estimates,
    count_failures,
    given_moments_pass,
    resampled_moments,
    simulation_covariance,
)
from ..partitions.replicate_store import ReplicateStore
from ..partitions.sealed import digest
from ..problem.prepared import PreparedDemand
from ..progress import Listener, StepEvent, silent
from ..records import Floats
from .gmm_options import GmmOptions, cost_state

#: Seconds between two words on how far resamples have come.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class KeyedResamples:
    """Agents redrawn by a rule.

    Attributes
    ----------
    rule
        Which rule, of what size: the one that the estimates are made with.
    replicates
        R.
    seed
        Of all replicates.
    directory
        Where replicates are kept, so that a run that was killed goes on between two of
        them; nowhere if None.
    """

    rule: Rule
    replicates: int
    seed: int
    directory: Path | None = None

    def draws(self, n_nodes: int) -> KeyedDraws:
        """Give the stream of draws for agents with ``n_nodes`` columns of nodes."""
        return KeyedDraws(self.rule, self.seed, n_nodes)


@dataclass(frozen=True, slots=True)
class GivenResamples:
    """Agents from outside: ``draw(r)`` for r = 0, 1, … until it gives None."""

    draw: Callable[[int], GivenAgents | None]


@dataclass(frozen=True, slots=True)
class Resampling:
    """How agents are redrawn, and how what comes of it is scaled.

    Attributes
    ----------
    resamples
        By a rule, or by a function.
    scaling
        ``"moments"`` for N Cov_r(ḡ_r), ``"pyblp"`` for PyBLP's.
    """

    resamples: KeyedResamples | GivenResamples
    scaling: Scaling = "moments"


@dataclass(frozen=True, slots=True, eq=False)
class SimulationError:
    """The covariance of simulation error and what it was computed from.

    Attributes
    ----------
    covariances
        ``(MD, MD)`` S_sim, to be added to S.
    n_replicates, n_failed
        Replicates, and those left out because an inversion failed.
    notes
        What a reader of the numbers should know.
    """

    covariances: Floats
    n_replicates: int
    n_failed: int
    notes: tuple[str, ...]


def simulation_covariances(
    problem: PreparedDemand,
    placement: Placement,
    parameters: Parameters,
    theta: Floats,
    point: GmmPoint,
    linear: LinearGmm,
    resampling: Resampling,
    options: GmmOptions,
    *,
    anchor: str | None = None,
    step: int = 1,
    listener: Listener = silent,
) -> SimulationError:
    """Estimate what redrawing agents adds to the covariance of √N ḡ.

    Parameters
    ----------
    problem, placement
        The problem and where its blocks are worked on.
    parameters, theta, point
        The layout of θ, θ̂ ``(P,)``, and b̂ and ḡ there.
    linear
        The step's fixed matrices.
    resampling
        How agents are redrawn and how the covariance is scaled.
    options
        How shares are inverted.
    anchor
        Name of the evaluation at θ̂, from whose δ resamples of a function start.
    step, listener
        The GMM step, and who is told how far it has come.

    Raises
    ------
    InputError
        Where fewer than two resamples are given.
    NumericalError
        Where inversions fail in all replicates but one, or in any if failures raise.
    """
    resamples = resampling.resamples
    state = ResampleState(
        demand=DemandState(
            theta=theta[: parameters.n_nonlinear],
            tastes=tastes_at(parameters, theta),
            controls=replace(options.controls, derivatives=False),
            backend=options.backend,
            iterate=options.iterate,
            costs=cost_state(parameters, theta, options.costs)
            if problem.has_supply
            else None,
        ),
        agents=_stream(resamples, parameters),
        ZtXb=linear.ZtX @ point.b[:, 0],
        n_observations=linear.n_observations,
    )
    tell = _counter(listener, step)
    if isinstance(resamples, KeyedResamples):
        found = _keyed(problem, placement, state, point, resamples, tell)
    else:
        found = _given(placement, state, resamples, anchor, tell)
    return _combine(found, linear, resampling.scaling, options)


def _stream(
    resamples: KeyedResamples | GivenResamples, parameters: Parameters
) -> KeyedDraws | None:
    """Give the stream that workers draw from, none where agents are given."""
    if isinstance(resamples, GivenResamples):
        return None
    return resamples.draws(parameters.n_node_columns)


def _keyed(
    problem: PreparedDemand,
    placement: Placement,
    state: ResampleState,
    point: GmmPoint,
    resamples: KeyedResamples,
    tell: Counter,
) -> Stacked:
    """Run whole replicates, from a store where one is asked for."""
    n = resamples.replicates
    store: ReplicateStore | nullcontext[None] = nullcontext()
    if resamples.directory is not None:
        fingerprint = _fingerprint(problem, state, point, n)
        store = ReplicateStore(
            resamples.directory / fingerprint,
            n,
            fields_like(ResampledMoments(point.moments, 0)),
            fingerprint=fingerprint,
        )
    with store as held:
        return run_replicates(placement, resampled_moments, state, n, held, tell)


def _given(
    placement: Placement,
    state: ResampleState,
    resamples: GivenResamples,
    anchor: str | None,
    tell: Counter,
) -> Stacked:
    """Sum over blocks once a resample, as long as the function gives one."""
    records: list[ResampledMoments] = []
    while (agents := resamples.draw(len(records))) is not None:
        now = replace(state, agents=agents)
        sums: DemandSums = placement.reduce(given_moments_pass, now, anchor=anchor)
        records.append(at_estimates(sums.Zty, count_failures(sums), now))
        tell(len(records), 0)
    if len(records) < 2:
        fault = Fault(
            f"{len(records)} resample{'' if len(records) == 1 else 's'} before None",
            "at least two, to compute a covariance",
            "give a table for index 0 and 1 at least, then None",
        )
        raise InputError("resample_agent_data", (fault,))
    return stack(records)


def _combine(
    found: Stacked, linear: LinearGmm, scaling: Scaling, options: GmmOptions
) -> SimulationError:
    """Leave out replicates in which inversions failed, and say so."""
    moments = found["moments"]
    good = (found["n_failed"] == 0) & np.isfinite(moments).all(axis=1)
    n, n_bad = good.size, int((~good).sum())
    notes: tuple[str, ...] = ()
    if n_bad:
        note = (
            f"in {n_bad} of {n} resamples of agents shares could not be inverted; the "
            "covariance of simulation error leaves them out"
        )
        if n - n_bad < 2 or options.error_behavior == "raise":
            raise NumericalError(note)
        warnings.warn(note, NumericalWarning, stacklevel=4)
        notes = (note,)
    covariances = simulation_covariance(moments[good], linear, scaling)
    return SimulationError(covariances, n, n_bad, notes)


def _fingerprint(
    problem: PreparedDemand, state: ResampleState, point: GmmPoint, n: int
) -> str:
    """Name what replicates are of: the data by their sums, θ̂, β̂ and the draws."""
    return digest(
        [
            problem.market_ids.astype(str),
            problem.product_counts,
            problem.block_edges,
            problem.ZtX.astype(np.float64),
            problem.ZtZ,
            point.moments,
            point.b,
            state.demand,
            state.agents,
            n,
        ]
    )


def _counter(listener: Listener, step: int) -> Counter:
    """Tell a listener now and then how many resamples are done."""
    last = time.monotonic()

    def tell(done: int, n: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PATIENCE:
            last = now
            of = f" of {n}" if n else ""
            listener(StepEvent(step, f"Resampled agents {done}{of} times"))

    return tell
