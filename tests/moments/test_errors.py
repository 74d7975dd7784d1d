"""ξ, ξ_fe and ∂ξ/∂θ of a block against numbers written out."""

from __future__ import annotations

import numpy as np

from blpdask.model.inversion import InversionMemory
from blpdask.moments.covariances import MomentState, moments_pass
from blpdask.moments.errors import ErrorState, RowState, rows_pass
from blpdask.records import HeldRows, LinearRows, MarketBlock


class Counted(HeldRows):
    """Linear rows that count how often they are read."""

    reads = 0

    def __call__(self):
        Counted.reads += 1
        return self.held


def make_block():
    linear = LinearRows(
        rows=np.array([2, 0, 1]),
        X1=np.array([[1.0, 2.0], [1.0, 0.0], [1.0, -1.0]]),
        Z=np.array([[1.0], [0.0], [2.0]]),
        effects=(np.array([0, 0, 1]), np.array([1, 0, 1])),
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
        ZD=linear.Z,
        linear=Counted(linear),
    )


DELTA = np.array([4.0, 1.0, 0.5])
MEMORY = InversionMemory(np.zeros(1), DELTA, np.array([[7.0], [8.0], [9.0]]), DELTA)
#: X1 β = (2, 1, 0.5), δ - X1 β = (2, 0, 0), effects (10, -1), (0.5, 1).
STATE = ErrorState(
    np.array([1.0, 0.5]),
    (np.array([[10.0], [-1.0]]), np.array([[0.5], [1.0]])),
)


def test_rows_are_split_and_differentiated():
    Counted.reads = 0
    record, memory = rows_pass(make_block(), RowState(STATE, np.array([1])), MEMORY)
    assert memory is None
    np.testing.assert_array_equal(record.rows, [2, 0, 1])
    np.testing.assert_array_equal(record.delta[:, 0], DELTA)
    np.testing.assert_array_equal(record.xi_fe[:, 0], [11.0, 10.5, 0.0])
    np.testing.assert_array_equal(record.xi[:, 0], [-9.0, -10.5, 0.0])
    np.testing.assert_array_equal(
        record.xi_by_theta, [[7.0, -2.0], [8.0, 0.0], [9.0, 1.0]]
    )
    assert Counted.reads == 1


def test_moments_are_sums_of_the_same_errors():
    Counted.reads = 0
    state = MomentState(STATE, centre=np.array([-3.0]), clustered=True)
    sums, _ = moments_pass(make_block(), state, MEMORY)
    # g = ξ z = (-9, 0, 0), less the centre (-6, 3, 3).
    assert sums.g.tolist() == [0.0]
    assert sums.gg.tolist() == [[36.0 + 9.0 + 9.0]]
    assert sums.clusters.tolist() == [3, 5]
    assert sums.cluster_sizes.tolist() == [1, 2]
    assert sums.cluster_g.tolist() == [[3.0], [-3.0]]
    assert (sums.sizes.tolist(), sums.means.tolist()) == ([3], [-6.5])
    assert Counted.reads == 1
