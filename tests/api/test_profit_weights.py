"""Weights of partial owners: the formula written out, its limits, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import InputError

FIRMS = ["a", "b", "c"]


def table(rows: list[list[float]]) -> pd.DataFrame:
    """Make a table of owners by firms."""
    return pd.DataFrame(rows, columns=FIRMS)


@pytest.mark.parametrize("proportional", [True, False])
def test_weights_are_the_formula(proportional: bool) -> None:
    rng = np.random.default_rng(0)
    stakes = table(rng.dirichlet(np.ones(5), 3)[:, :4].T.tolist())
    control = None if proportional else table(rng.uniform(size=(4, 3)).tolist())
    kappa = blpdask.build_profit_weights(stakes, control)
    beta, gamma = stakes, stakes if control is None else control
    for f in FIRMS:
        for g in FIRMS:
            above = sum(gamma[f][o] * beta[g][o] for o in range(4))
            below = sum(gamma[f][o] * beta[f][o] for o in range(4))
            assert kappa(f, g) == pytest.approx(above / below, rel=1e-14)
    assert all(kappa(f, f) == 1.0 for f in FIRMS)
    # Neither the scale of control nor the order of rows and columns matters.
    if control is not None:
        mixed = 7.0 * control.iloc[[2, 0, 3, 1]][["c", "a", "b"]]
        again = blpdask.build_profit_weights(stakes, mixed)
        pd.testing.assert_frame_equal(again.to_frame(), kappa.to_frame(), rtol=1e-14)


def test_limits() -> None:
    data = {"market_ids": [0, 0, 0, 0], "firm_ids": ["a", "b", "c", "a"]}
    own = blpdask.build_ownership(data)
    for stakes in (np.eye(3), 0.3 * np.eye(3), np.zeros((1, 3))):
        kappa = blpdask.build_profit_weights(table(stakes.tolist()))
        np.testing.assert_array_equal(blpdask.build_ownership(data, kappa), own)
    # Who owns all of a and b has merged them.
    kappa = blpdask.build_profit_weights(table([[1, 1, 0], [0, 0, 1]]))
    merged = blpdask.build_ownership(data | {"firm_ids": ["a", "a", "c", "a"]})
    np.testing.assert_array_equal(blpdask.build_ownership(data, kappa), merged)
    # Silence: a's owner has all of b without a say, which moves a and not b.
    silent = blpdask.build_profit_weights(
        table([[1, 1, 0]]), table([[1, 0, 0]])
    ).to_frame()
    np.testing.assert_array_equal(silent, [[1, 1, 0], [0, 1, 0], [0, 0, 1]])


def test_ids_of_data_are_found() -> None:
    stakes = pd.DataFrame([[1.0, 0.5]], columns=[1, 2])
    kappa = blpdask.build_profit_weights(stakes)
    data = blpdask.build_id_data(T=2, J=2, F=2)
    with pytest.raises(InputError, match="no stakes in firms 0"):
        blpdask.build_ownership(data, kappa)
    found = blpdask.build_ownership(
        {"market_ids": data.market_ids, "firm_ids": data.firm_ids + 1}, kappa
    )
    np.testing.assert_array_equal(found, [[1, 0.5], [2, 1]] * 2)
    model = blpdask.ConductModel("bertrand", kappa=kappa)
    assert callable(model.kappa)


@pytest.mark.parametrize(
    ("stakes", "control", "found"),
    [
        ([[1.0]], None, ["stakes of type list"]),
        (table([[1, 0.6, 0], [0, 0.5, 1]]), None, ["more than one (b: 1.1)"]),
        (table([[1, -0.1, np.nan]]), None, ["2 missing or negative"]),
        (pd.DataFrame([["x"]]), None, ["1 missing or negative"]),
        (table([]), None, ["stakes of shape (0, 3)"]),
        (pd.DataFrame([[0.1, 0.2]], columns=["a", "a"]), None, ["there twice (a)"]),
        (table([[1, 0, 0]]), 3, ["control of type int"]),
        (
            table([[1, 0, 0]]),
            pd.DataFrame([[1.0, 0]], columns=["a", "d"]),
            ["in stakes or control alone (b, c, d)"],
        ),
        (table([[1, 0, 0]]), table([[1, 1, 0]]), ["who own none of them (b)"]),
        (
            table([[2, 0, 0]]),
            table([[-1, 0, 0]]),
            ["more than one (a: 2)", "control of shape (1, 3), 1 missing or negative"],
        ),
    ],
)
def test_what_is_refused(stakes, control, found) -> None:
    with pytest.raises(InputError) as caught:
        blpdask.build_profit_weights(stakes, control)
    assert len(caught.value.faults) == len(found)
    for text in found:
        assert text in str(caught.value)
