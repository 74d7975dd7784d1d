"""Latent classes of public data against maxima that others found, with their digits.

Those of electricity, of 2 to 4 classes of panels, were computed by independent code
from many starts; that of Swissmetro is Biogeme's example b07, with time's coefficient
zero in the first class and all others in common.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.choice_records import MixedCoefficients
from blpdask.integration.rules import Rule, RuleOptions
from blpdask.model.latent_classes import ClassParameters, LatentClasses
from blpdask.moments.latent_classes import ClassState, latent_class_pass
from blpdask.problem.choice_blocks import make_blocks
from blpdask.problem.class_membership import add_membership
from tests.references.choice_data import ELECTRICITY, read_choices
from tests.references.swissmetro import swissmetro


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
        pytest.param(
            *(4, -4138.63656637, [0.282054, 0.264187, 0.234771, 0.218989]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_electricity(classes: int, log_likelihood: float, shares: list[float]) -> None:
    found = electricity(classes).solve(engine="serial")
    assert found.converged
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.shares, shares, atol=6e-7)
    assert np.abs(found.gradient).max() < 1e-8


def test_swissmetro_where_time_does_not_matter_to_some() -> None:
    problem = blpdask.LatentClassProblem(
        blpdask.Formulation("0 + car + train + cost + time"),
        swissmetro(),
        2,
        shared=("car", "train", "cost"),
        zeros={1: "time"},
    )
    assert (problem.I, problem.S) == (6768, 6768)
    found = problem.solve(starts=6, engine="serial")
    assert found.labels == ("car", "train", "cost", "class2.time", "share1.1")
    assert found.log_likelihood == pytest.approx(-5208.498030429029, abs=2e-8)
    expected = [0.1246051914, -0.3975859215, -1.2640646912, -2.7979318979]
    np.testing.assert_allclose(found.theta[:4], expected, atol=2e-6)
    assert found.shares[0] == pytest.approx(0.2507920295, abs=1e-6)
    assert found.class_parameters[0, 3] == 0.0


#: Of train, car, time and cost, then deviations of train, car, Swissmetro and time.
CLASSES = np.array(
    [
        *(-1.112810889782591, -4.806055743280344, 0.0, -1.2456765489543857),
        *(2.978268932052587, 5.858037347682611, -0.6505717138191545, 0.0),
        *(-0.232933638474524, 1.080401201710087, -7.058281423845945),
        *(-4.805408291554171, 1.5865961960003023, 2.736753286013997),
        *(1.9251556101306966, 3.309915789312938),
    ]
).reshape(2, 8)


def test_swissmetro_where_tastes_vary_within_classes() -> None:
    """Find the likelihood of Biogeme's b15a, which has 10,000 draws of its own."""
    formulation = blpdask.Formulation("0 + train + car + time + cost")
    table = blpdask.ChoiceProblem(formulation, swissmetro(panel=True)).table
    train, car, time, cost = table.X.T
    mixed = MixedCoefficients(
        ("train", "car", "new", "time", "cost"),
        ("normal", "normal", "component", "normal", "fixed"),
    )
    classes = LatentClasses(mixed, 2, zeros=((0, 2), (0, 7)))
    theta = classes.join(ClassParameters(CLASSES, np.array([[-1.7013471], [0.0]])))
    X = np.column_stack([train, car, 1 - train - car, time, cost])
    found = []
    for seed in (1, 2):
        rule = Rule("sobol", 2048, RuleOptions(seed=seed))
        source = make_blocks(replace(table, X=X), rule, mixed.random_kinds)
        blocks = add_membership(source, np.ones((table.person_ids.size, 1)))
        state = ClassState(classes, theta, "numba", derivatives=False)
        sums = [
            latent_class_pass(blocks.load(index), state, None)[0].log_likelihood
            for index in range(len(blocks))
        ]
        found.append(sum(sums))
    assert table.person_ids.size == 752
    np.testing.assert_allclose(found, -3526.52760652578, atol=2.0)
