"""The layout of θ: round trips, order, fixed entries, and every fault at once."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.errors import InputError
from blpdask.model.parameters import expand, lay_out, spread, tastes_at


def layout(**changes):
    given = {
        "sigma": [[1.0, 9.0], [0.5, 2.0]],
        "pi": [[0.0, 3.0], [4.0, 0.0]],
        "beta": None,
        "sigma_bounds": None,
        "pi_bounds": None,
        "beta_bounds": None,
        "types": ("linear", "log"),
        "n_node_columns": 2,
        "sigma_labels": ("1", "prices"),
        "pi_labels": ("income", "age"),
        "beta_labels": ("prices", "x"),
        "bounded": True,
        "default_bounds": False,
    }
    return lay_out(**(given | changes))


def test_theta_stacks_sigma_pi_and_beta_by_rows():
    found = layout(beta=[None, -1.5])
    assert found.labels == (
        "1 x 1",
        "prices x 1",
        "prices x prices",
        "1 x age",
        "prices x income",
        "x",
    )
    assert found.theta.tolist() == [1.0, 0.5, 2.0, 3.0, 4.0, -1.5]
    assert found.n_nonlinear == 5
    assert found.concentrated.tolist() == [True, False]


def test_expanding_undoes_stacking():
    found = layout(beta=[None, -1.5])
    theta = np.arange(6.0)
    matrices = expand(found, theta)
    assert matrices.sigma.tolist() == [[0.0, 0.0], [1.0, 2.0]]
    assert matrices.pi.tolist() == [[0.0, 3.0], [4.0, 0.0]]
    assert [matrices[entry] for entry in found.free] == theta.tolist()
    errors = spread(found, theta)
    assert np.isnan(errors.pi[0, 0]) and errors.pi[0, 1] == 3.0


def test_zeros_and_equal_bounds_fix_parameters():
    low, high = np.full((2, 2), -np.inf), np.full((2, 2), np.inf)
    low[1, 0] = high[1, 0] = 0.5
    found = layout(sigma_bounds=(low, high))
    assert "prices x 1" not in found.labels
    assert expand(found, found.theta).sigma[1, 0] == 0.5


def test_default_bounds_are_pyblps():
    found = layout(default_bounds=True)
    assert found.bounds[0].tolist() == [0.0, np.inf]
    assert found.bounds[1].tolist() == [-np.inf, np.inf]
    unbounded = layout(
        bounded=False, pi_bounds=(np.full((2, 2), -9), np.full((2, 2), 9))
    )
    assert not np.isfinite(unbounded.bounds).any()


def test_tastes_load_draws_on_coefficients():
    found = layout()
    tastes = tastes_at(found, found.theta)
    assert tastes.loadings.tolist() == [[1.0, 0.0, 0.0, 3.0], [0.5, 2.0, 4.0, 0.0]]
    assert tastes.types.tolist() == [0, 1]
    assert tastes.rows.tolist() == [0, 1, 1, 0, 1]
    assert tastes.columns.tolist() == [0, 0, 1, 3, 2]


def test_fewer_node_columns_go_to_the_columns_of_sigma_in_use():
    found = layout(sigma=[[0.0, 0.0], [0.0, 2.0]], n_node_columns=1)
    tastes = tastes_at(found, found.theta)
    assert found.node_columns == (1,)
    assert tastes.loadings[:, 0].tolist() == [0.0, 2.0]


def test_every_fault_is_in_one_message():
    with pytest.raises(InputError) as caught:
        layout(
            sigma=np.ones((3, 3)),
            pi=None,
            beta=[1.0],
            n_node_columns=0,
            pi_bounds=(0, 1, 2),
        )
    text = str(caught.value)
    for found in ("sigma of shape (3, 3)", "no pi", "beta of shape (1, 1)"):
        assert found in text
    assert len(caught.value.faults) >= 4


def test_a_start_outside_its_bounds_is_a_fault():
    with pytest.raises(InputError, match="outside their bounds"):
        layout(sigma_bounds=(np.full((2, 2), 3.0), np.full((2, 2), 9.0)))
