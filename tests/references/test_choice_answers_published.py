"""What travellers would pay, on public data, against what mlogit publishes.

Train journeys in the vignette of the R package mlogit, with its price in hundreds of
guilders: the conditional logit's coefficients over that of price are 25.54337 for an
hour, 4.84487 for a change and 14.04028 for a class of comfort.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import blpdask
from tests.references.choice_data import TRAIN, read_choices

PUBLISHED = {"time": 25.54337, "change": 4.84487, "comfort": 14.04028}


def journeys() -> pd.DataFrame:
    """List two journeys a choice, one below the other."""
    wide = read_choices("train")
    sides = []
    for j in (1, 2):
        side = wide[[f"{name}{j}" for name in TRAIN]].set_axis(list(TRAIN), axis=1)
        sides.append(
            side.assign(
                person_ids=wide["id"],
                situation_ids=np.arange(len(wide)),
                alternative_ids=j,
                chosen=(wide["choice"] == f"choice{j}").astype(int),
                price=side["price"] / 100 * 2.20371,
                time=side["time"] / 60,
            )
        )
    return pd.concat(sides, ignore_index=True)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def test_what_travellers_would_pay_is_mlogits() -> None:
    formulation = blpdask.Formulation("0 + price + time + change + comfort")
    results = blpdask.ChoiceProblem(formulation, journeys()).solve(
        engine="serial", se_type="hessian"
    )
    for name, value in PUBLISHED.items():
        found = results.compute_willingness_to_pay(name, "price", engine="serial")
        np.testing.assert_allclose(-found.mean, value, rtol=5e-7)
        k = results.labels.index(name)
        b, V = results.theta, results.covariances
        slopes = np.array([b[k] / b[0] ** 2, -1 / b[0]])
        error = np.sqrt(slopes @ V[np.ix_([0, k], [0, k])] @ slopes)
        np.testing.assert_allclose(found.mean_se, error, rtol=1e-10)
    minute = results.compute_consumer_surpluses("price", engine="serial")
    slower = journeys()
    slower["time"] += 1 / 60
    later = results.compute_consumer_surpluses(
        "price", choice_data=slower, engine="serial"
    )
    lost = (minute - later)["consumer_surpluses"]
    np.testing.assert_allclose(lost, PUBLISHED["time"] / 60, rtol=5e-7)
