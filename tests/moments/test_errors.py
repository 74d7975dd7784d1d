"""Errors, effects and their derivatives of a block against numbers written out."""

from __future__ import annotations

import numpy as np

from blpdask.model.inversion import InversionMemory
from blpdask.model.linear_places import LinearPlaces
from blpdask.moments.covariances import MomentState, moments_pass
from blpdask.moments.errors import EquationState, ErrorState, RowState, rows_pass
from blpdask.records import Equation, HeldRows, LinearRows, MarketBlock


class Counted(HeldRows):
    """Linear rows that count how often they are read."""

    reads = 0

    def __call__(self):
        Counted.reads += 1
        return self.held


def make_block():
    linear = LinearRows(
        rows=np.array([2, 0, 1]),
        equations=(
            Equation(
                X=np.array([[1.0, 2.0], [1.0, 0.0], [1.0, -1.0]]),
                Z=np.array([[1.0], [0.0], [2.0]]),
                effects=(np.array([0, 0, 1]), np.array([1, 0, 1])),
            ),
            Equation(
                X=np.array([[2.0], [1.0], [0.0]]),
                Z=np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
                effects=(np.array([1, 0, 0]),),
            ),
        ),
        clusters=np.array([5, 5, 3]),
    )
    nothing = np.empty(0)
    return MarketBlock(
        index=0,
        first_market=0,
        product_offsets=np.array([0, 3]),
        agent_offsets=np.array([0, 0]),
        X2=np.empty((0, 3)),
        log_shares=nothing,
        logit_delta=nothing,
        draws=np.empty((0, 0)),
        weights=nothing,
        ZD=linear.equations[0].Z,
        linear=Counted(linear),
    )


DELTA = np.array([4.0, 1.0, 0.5])
COSTS = np.array([5.0, 3.0, 1.0])
MEMORY = InversionMemory(
    np.zeros(1),
    DELTA,
    np.array([[7.0], [8.0], [9.0]]),
    DELTA,
    costs=COSTS,
    costs_by_theta=np.array([[0.1, 0.4], [0.2, 0.5], [0.0, 0.0]]),
    clipped=np.array([False, False, True]),
)
#: X1 β = (2, 1, 0.5), δ - X1 β = (2, 0, 0), effects (10, -1), (0.5, 1);
#: X3 γ = (3, 1.5, 0), c̃ - X3 γ = (2, 1.5, 1), effect (0.5, 1).
STATE = ErrorState(
    (
        EquationState(
            np.array([1.0, 0.5]),
            (np.array([[10.0], [-1.0]]), np.array([[0.5], [1.0]])),
        ),
        EquationState(np.array([1.5]), (np.array([[0.5], [1.0]]),)),
    )
)
#: θ = (one of Σ, the second of β, which is on prices, the only one of γ).
PLACES = LinearPlaces(1, (np.array([1]), np.array([0])), np.array([0]))


def test_rows_are_split_and_differentiated():
    Counted.reads = 0
    record, memory = rows_pass(make_block(), RowState(STATE, PLACES), MEMORY)
    assert memory is None
    np.testing.assert_array_equal(record.rows, [2, 0, 1])
    demand, supply = record.equations
    np.testing.assert_array_equal(demand.y[:, 0], DELTA)
    np.testing.assert_array_equal(demand.effects[:, 0], [11.0, 10.5, 0.0])
    np.testing.assert_array_equal(demand.u[:, 0], [-9.0, -10.5, 0.0])
    np.testing.assert_array_equal(
        demand.u_by_theta, [[7.0, -2.0, 0.0], [8.0, 0.0, 0.0], [9.0, 1.0, 0.0]]
    )
    assert not demand.clipped.any()
    np.testing.assert_array_equal(supply.y[:, 0], COSTS)
    np.testing.assert_array_equal(supply.effects[:, 0], [1.0, 0.5, 0.5])
    np.testing.assert_array_equal(supply.u[:, 0], [1.0, 1.0, 0.5])
    np.testing.assert_array_equal(
        supply.u_by_theta, [[0.1, 0.4, -2.0], [0.2, 0.5, -1.0], [0.0, 0.0, 0.0]]
    )
    assert supply.clipped[:, 0].tolist() == [False, False, True]
    assert Counted.reads == 1


def test_moments_are_sums_of_the_same_errors():
    Counted.reads = 0
    state = MomentState(STATE, centre=np.array([-3.0, 0.0, 0.0]), clustered=True)
    sums, _ = moments_pass(make_block(), state, MEMORY)
    # g = (ξ z, ω z') = (-9, 1, 0), (0, 0, 1), (0, 0.5, 0.5), less the centre.
    assert sums.g.tolist() == [0.0, 1.5, 1.5]
    assert sums.gg.tolist() == [
        [36.0 + 9.0 + 9.0, -6.0 + 1.5, 3.0 + 1.5],
        [-4.5, 1.25, 0.25],
        [4.5, 0.25, 1.25],
    ]
    assert sums.clusters.tolist() == [3, 5]
    assert sums.cluster_sizes.tolist() == [1, 2]
    assert sums.cluster_g.tolist() == [[3.0, 0.5, 0.5], [-3.0, 1.0, 1.0]]
    assert sums.sizes.tolist() == [3]
    np.testing.assert_allclose(sums.means, [[-6.5, 2.5 / 3]])
    assert Counted.reads == 1
