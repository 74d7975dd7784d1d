"""The GMM objective of one step as an optimiser sees it: θ in, q and derivatives out.

An evaluation is one reduction over blocks. It is a pure function of (θ, anchor): the
anchor is the last evaluation that the optimiser accepted, named, so that the same
evaluations in the same order give the same bits on every engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..driver.engine import Placement
from ..errors import NumericalError
from ..model.parameters import Parameters, expand, tastes_at
from ..moments.demand import DemandState, DemandSums, demand_pass
from ..moments.objective import GmmPoint, LinearGmm, concentrate, gmm_point
from ..moments.quasi_differences import QuasiDifferences
from ..progress import EvaluationEvent, Listener
from ..records import Floats, Integers
from ..results.estimates import GmmEstimates
from ..status import CostStatus, InversionStatus
from .autocorrelation import add_phi, moments_at
from .further_moments import Further, bring_further
from .gmm_options import GmmOptions, cost_state
from .optimizers.protocol import Evaluation, projected_gradient

INITIAL = "initial"
#: Turns a point of fixed weights into another objective's: the point, the name of the
#: evaluation, which blocks remember, and whether derivatives are wanted.
Reweight = Callable[[GmmPoint, str, bool], GmmPoint]
#: Evaluations whose memories are kept while the optimiser has not accepted a newer one.
KEPT = 2


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation with everything that came of it."""

    name: str
    theta: Floats
    point: GmmPoint
    sums: DemandSums
    failed: bool


class GmmObjective:
    """q(θ) of one GMM step; implements the optimisers' protocol."""

    def __init__(
        self,
        *,
        placement: Placement,
        parameters: Parameters,
        linear: LinearGmm,
        options: GmmOptions,
        anchor: str | None,
        origin: str | None,
        step: int,
        listener: Listener,
        name_markets: Callable[[Integers], str],
        start: int = 0,
        keep_factors: bool = True,
        reweight: Reweight | None = None,
        further: Sequence[Further] = (),
        quasi: QuasiDifferences | None = None,
        conclude: Callable[[Floats], GmmEstimates] | None = None,
    ) -> None:
        """Evaluate on a placement, from the memories named ``anchor`` at first.

        ``origin`` names the memories that evaluations from scratch start from: those of
        the user's δ, or none, which is the plain logit's. Without ``keep_factors``
        memories are as long as the data times P, and no longer. ``reweight`` replaces
        the objective by another, of weights that move with θ. ``further`` moments are
        computed of the evaluation that blocks remember. ``quasi`` makes moments of
        innovations of blocks' sums. ``conclude`` computes all that follows from a θ.
        """
        self._placement = placement
        self._parameters = parameters
        self._linear = linear
        self._options = options
        self._step_anchor = anchor
        self._origin = origin
        self._anchor = anchor
        self._step = step
        self._start = start
        self._listener = listener
        self._name_markets = name_markets
        self._keep_factors = keep_factors
        self._reweight = reweight
        self._further = tuple(further)
        self._quasi = quasi
        self._conclude = conclude
        self._names: dict[bytes, str] = {}
        self._best = np.inf
        self.accepted = 0
        self.history: list[DemandSums] = []

    def __call__(self, theta: Floats, *, derivatives: bool = True) -> Evaluation:
        """Evaluate at ``theta`` ``(P,)`` and tell the listener."""
        began = time.perf_counter()
        evaluated = self.evaluate(theta, derivatives=derivatives)
        self._tell(evaluated, derivatives, time.perf_counter() - began)
        point = evaluated.point
        at = np.array(theta)
        evaluation = Evaluation(
            theta=at,
            objective=point.objective,
            conclude=None if self._conclude is None else partial(self._conclude, at),
        )
        if not derivatives:
            return evaluation
        return replace(
            evaluation,
            gradient=point.gradient,
            residual=point.residual,
            residual_jacobian=point.residual_by_theta,
        )

    def accept(self, evaluation: Evaluation) -> None:
        """Start the inversions to come from this evaluation."""
        self.accepted += 1
        name = self._names.get(evaluation.theta.tobytes())
        if name is not None and self._options.delta_behavior == "anchor":
            self._move_anchor(name)

    def evaluate(
        self,
        theta: Floats,
        *,
        derivatives: bool = True,
        anchor: str | None = None,
        from_scratch: bool = False,
        keep: bool = True,
        forgive: bool = False,
    ) -> Evaluated:
        """Sum over blocks and combine, from the current or a given anchor.

        Parameters
        ----------
        theta
            ``(P,)``.
        derivatives
            Whether gradient and Jacobian are wanted.
        anchor
            Name of memories to start from instead of the current anchor's.
        from_scratch
            Start from the origin and not from any earlier evaluation.
        keep
            Whether the blocks remember this evaluation.
        forgive
            Not to raise where markets fail, even if that is how failures are treated.
        """
        theta = np.asarray(theta, dtype=np.float64)
        base = self._origin if from_scratch else anchor or self._anchor
        if self._options.delta_behavior == "logit":
            base = None
        name = f"step {self._step} start {self._start} no. {len(self.history) + 1}"
        held = keep or self._reweight is not None or bool(self._further)
        sums = self._reduce(theta, derivatives, base, name if held else None)
        slopes = self._slopes(theta, sums, base) if derivatives else None
        self.history.append(sums)
        evaluated = self._combine(
            theta, sums, slopes, name, derivatives=derivatives, forgive=forgive
        )
        if keep:
            self._keep(name, theta)
        elif held:
            self._placement.forget(name)
        return evaluated

    def _reduce(
        self, theta: Floats, derivatives: bool, anchor: str | None, keep: str | None
    ) -> DemandSums:
        """Run one pass over all blocks."""
        parameters, options = self._parameters, self._options
        costs = None
        if parameters.gamma_labels:
            costs = cost_state(parameters, theta, options.costs)
        state = DemandState(
            theta=theta[: parameters.n_nonlinear],
            tastes=tastes_at(parameters, theta),
            controls=replace(options.controls, derivatives=derivatives),
            backend=options.backend,
            iterate=options.iterate,
            keep_factor=self._keep_factors,
            costs=costs,
        )
        sums: DemandSums = self._placement.reduce(
            demand_pass, state, anchor=anchor, keep=keep
        )
        return sums

    def _slopes(self, theta: Floats, sums: DemandSums, anchor: str | None) -> Floats:
        """Put Z' ∂y/∂θ of all equations together, ``(M, P)``."""
        if self._options.finite_differences:
            return self._differences(theta, anchor)
        sides = [sums.ZtDelta_by_theta]
        if self._parameters.gamma_labels:
            sides.append(sums.ZtCosts_by_theta)
        return np.vstack(self._parameters.places.spread(sides))

    def _differences(self, theta: Floats, anchor: str | None) -> Floats:
        """Central differences of Z'y by what moves y: Σ, Π, β on prices; ``(M, P)``."""
        epsilon, places = self._options.epsilon, self._parameters.places
        moving = [*range(places.n_nonlinear)]
        if self._parameters.gamma_labels:
            moving += [places.first + int(p) for p in places.priced]
        summed = self._linear if self._quasi is None else self._quasi
        found = np.zeros((summed.ZtX.shape[0], theta.size))
        for p in moving:
            shift = np.zeros_like(theta)
            shift[p] = epsilon / 2
            up = self._reduce(theta + shift, False, anchor, None).Zty
            down = self._reduce(theta - shift, False, anchor, None).Zty
            found[:, p] = (up - down) / epsilon
        return found

    def _combine(
        self,
        theta: Floats,
        sums: DemandSums,
        slopes: Floats | None,
        name: str,
        *,
        derivatives: bool,
        forgive: bool,
    ) -> Evaluated:
        """Turn sums into the objective, and treat failures as the options say."""
        if slopes is None:
            slopes = np.zeros((sums.Zty.size, theta.size))
        with np.errstate(over="ignore", invalid="ignore"):
            point = self._point(theta, sums.Zty, slopes, name, derivatives)
            if self._reweight is not None:
                point = self._reweight(point, name, derivatives)
        failed = failures(sums).size > 0
        if failed and not (forgive and self._options.error_behavior == "raise"):
            point = self._punish(point, sums)
        return Evaluated(name, np.array(theta), point, sums, failed)

    def _point(
        self, theta: Floats, Zty: Floats, slopes: Floats, name: str, derivatives: bool
    ) -> GmmPoint:
        """Turn sums into the objective."""
        parameters, linear, quasi = self._parameters, self._linear, self._quasi
        matrices, summed = expand(parameters, theta), Zty
        if quasi is not None:
            moved = moments_at(quasi, linear, matrices.phi, Zty, slopes)
            linear, Zty, slopes = moved.linear, moved.Zty, moved.Zty_by_theta
        ZtX, places, K1 = linear.ZtX, parameters.places, len(parameters.beta_labels)
        columns = places.columns_of(0, ZtX[:, :K1]) + places.columns_of(1, ZtX[:, K1:])
        b = concentrate(linear, Zty, matrices.linear)
        # Of δ or c̃ that are not finite there are no errors to take effects out of.
        usable = b if np.isfinite(summed).all() else np.full_like(b, np.nan)
        further = bring_further(self._further, theta, usable, name, derivatives)
        by_theta, normal = slopes - columns, None
        if quasi is not None:
            by_theta, normal = add_phi(quasi, parameters, moved, summed, by_theta, b)
        return gmm_point(linear, Zty, by_theta, b, further, normal)

    def _punish(self, point: GmmPoint, sums: DemandSums) -> GmmPoint:
        """Apply ``error_behavior`` to an evaluation in which markets failed."""
        options = self._options
        if options.error_behavior == "raise":
            raise NumericalError(describe_failures(sums, self._name_markets))
        if options.error_behavior == "punish":
            zeros = np.zeros_like(point.gradient)
            return replace(
                point,
                objective=float(options.error_punishment),
                gradient=zeros,
                residual=np.full_like(point.residual, np.nan),
            )
        factor = options.error_punishment
        return replace(
            point,
            objective=point.objective * factor,
            residual=point.residual * np.sqrt(factor),
        )

    def _keep(self, name: str, theta: Floats) -> None:
        """Remember whose memories are held, and drop those that nobody will ask for."""
        before = self._names.pop(theta.tobytes(), None)
        if before not in {None, self._anchor, self._step_anchor, self._origin}:
            self._placement.forget(str(before))
        self._names[theta.tobytes()] = name
        if self._options.delta_behavior == "last":
            self._move_anchor(name)
        held = [n for n in self._names.values() if n not in {self._anchor}]
        for old in held[:-KEPT]:
            self._drop(old)

    def _move_anchor(self, name: str) -> None:
        """Make a kept evaluation the anchor and drop the one before."""
        previous = self._anchor
        self._anchor = name
        if previous not in {None, name, self._step_anchor, self._origin}:
            self._drop(str(previous))

    def _drop(self, name: str) -> None:
        self._placement.forget(name)
        self._names = {key: n for key, n in self._names.items() if n != name}

    def release(self, *, keep: str | None = None) -> None:
        """Drop all memories of this step, except one evaluation's."""
        for name in {*self._names.values(), self._anchor}:
            if name not in {None, keep, self._step_anchor, self._origin}:
                self._drop(str(name))

    def _tell(self, evaluated: Evaluated, derivatives: bool, seconds: float) -> None:
        point = evaluated.point
        best = point.objective < self._best
        self._best = min(self._best, point.objective)
        norm = np.nan
        if derivatives and point.gradient.size:
            bounds = self._parameters.bounds
            projected = projected_gradient(evaluated.theta, point.gradient, bounds)
            norm = float(np.abs(projected).max())
        self._listener(
            EvaluationEvent(
                step=self._step,
                start=self._start,
                number=len(self.history),
                iterations=max(self.accepted - 1, 0),
                objective=point.objective,
                gradient_norm=norm,
                best=bool(best),
                seconds=seconds,
                share_maps=int(evaluated.sums.evaluations.sum()),
                markets_failed=int(failures(evaluated.sums).size),
                theta=tuple(float(value) for value in evaluated.theta),
            )
        )


def has_failed(sums: DemandSums) -> NDArray[np.bool_]:
    """Flag markets whose δ did not reach the tolerance, or without costs, ``(T,)``."""
    unfinished = sums.status == InversionStatus.MAX_EVALUATIONS
    failed = unfinished | (sums.status == InversionStatus.NONFINITE)
    if sums.cost_status.size:
        failed = failed | (sums.cost_status != CostStatus.COMPUTED)
    return np.asarray(failed)


def failures(sums: DemandSums) -> Integers:
    """List the places of the markets that failed."""
    return np.flatnonzero(has_failed(sums))


def describe_failures(sums: DemandSums, name_markets: Callable[[Integers], str]) -> str:
    """Say which markets failed and how."""
    sentences = []
    for status in InversionStatus:
        where = np.flatnonzero(sums.status == status)
        if where.size and status != InversionStatus.CONVERGED:
            sentences.append(
                f"in {where.size} markets ({name_markets(where)}) {status.sentence}"
            )
    for cost_status in CostStatus:
        where = np.flatnonzero(sums.cost_status == cost_status)
        if where.size and cost_status != CostStatus.COMPUTED:
            sentences.append(
                f"in {where.size} markets ({name_markets(where)}) "
                f"{cost_status.sentence}"
            )
    return "; ".join(sentences)
