"""Latent classes of public data against maxima that others found, with their digits.

Those of electricity, of 2 to 4 classes of panels, were computed by independent code
from many starts; that of Swissmetro is Biogeme's example b07, with time's coefficient
zero in the first class and all others in common.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from tests.references.choice_data import ELECTRICITY, read_choices


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def electricity(classes: int) -> Any:
    names = {"choice": "chosen", "id": "person_ids", "chid": "situation_ids"}
    return blpdask.LatentClassProblem(
        blpdask.Formulation(f"0 + {' + '.join(ELECTRICITY)}"),
        read_choices("electricity").rename(columns=names),
        classes,
    )


@pytest.mark.parametrize(
    ("classes", "log_likelihood", "shares"),
    [
        (1, -4958.649119337, [1.0]),
        (2, -4526.82902877, [0.513480, 0.486520]),
        (3, -4298.02752763, [0.394061, 0.314542, 0.291397]),
        (4, -4138.63656637, [0.282054, 0.264187, 0.234771, 0.218989]),
    ],
)
def test_electricity(classes: int, log_likelihood: float, shares: list[float]) -> None:
    found = electricity(classes).solve(engine="serial")
    assert found.converged
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.shares, shares, atol=6e-7)
    assert np.abs(found.gradient).max() < 1e-8


def swissmetro() -> pd.DataFrame:
    """Give choices of journeys for work or business, each a person's, a row a mode."""
    table = read_choices("swissmetro")
    kept = table["PURPOSE"].isin([1, 3]) & (table["CHOICE"] != 0)
    table = table[kept].reset_index(drop=True)
    free = (table["GA"] != 0).to_numpy()
    frames = []
    for code, mode in enumerate(("TRAIN", "SM", "CAR"), start=1):
        cost = table[f"{mode}_CO"].to_numpy() / 100.0
        there = table[f"{mode}_AV"].to_numpy()
        if mode != "SM":
            there = there * (table["SP"] != 0).to_numpy()
        frames.append(
            pd.DataFrame(
                {
                    "situation_ids": np.arange(len(table)),
                    "alternative_ids": code,
                    "chosen": (table["CHOICE"] == code).to_numpy(),
                    "availability": there
                    if mode == "SM"
                    else there * (table["SP"] != 0),
                    "cost": cost if mode == "CAR" else np.where(free, 0.0, cost),
                    "time": table[f"{mode}_TT"].to_numpy() / 100.0,
                    "car": float(mode == "CAR"),
                    "train": float(mode == "TRAIN"),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def test_swissmetro_where_time_does_not_matter_to_some() -> None:
    problem = blpdask.LatentClassProblem(
        blpdask.Formulation("0 + car + train + cost + time"),
        swissmetro(),
        2,
        shared=("car", "train", "cost"),
        zeros={1: "time"},
    )
    assert (problem.I, problem.S) == (6768, 6768)
    found = problem.solve(engine="serial")
    assert found.labels == ("car", "train", "cost", "class2.time", "share1.1")
    assert found.log_likelihood == pytest.approx(-5208.498030429029, abs=2e-8)
    expected = [0.1246051914, -0.3975859215, -1.2640646912, -2.7979318979]
    np.testing.assert_allclose(found.theta[:4], expected, atol=2e-6)
    assert found.shares[0] == pytest.approx(0.2507920295, abs=1e-6)
    assert found.class_parameters[0, 3] == 0.0
