"""Micro moments on their way into a solve, and in its results."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask import MicroDataset, MicroMoment
from blpdask.api import problem as problem_module
from tests.api import nevo
from tests.api.surveys import (
    PART,
    SURVEY,
    checked,
    moments_of,
    ones,
    says,
)

pyblp = pytest.importorskip("pyblp")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)
    monkeypatch.setattr(pyblp.options, "verbose", False)


def heard(monkeypatch: pytest.MonkeyPatch, problem: Any, **arguments: Any) -> Any:
    """Call solve with an estimator that only listens, and give what it heard."""
    told: dict[str, Any] = {}

    def listen(*given: Any, **named: Any) -> Any:
        told.update(named, prepared=given[0], parameters=given[1])
        raise _Heard

    monkeypatch.setattr(problem_module, "estimate_gmm", listen)
    with pytest.raises(_Heard):
        problem.solve(nevo.SIGMA, nevo.PI, **arguments)
    return SimpleNamespace(**told)


class _Heard(Exception):
    """What an estimator that only listens ends with."""


def test_solve_hands_moments_to_the_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, moments = nevo.problem(blpdask, 4), moments_of(blpdask)
    covariances = np.eye(4)
    told = heard(
        monkeypatch,
        problem,
        micro_moments=moments,
        micro_sample_covariances=covariances,
    )
    np.testing.assert_array_equal(told.micro.sample_covariances, covariances)
    np.testing.assert_array_equal(told.micro.targets.values, [0.3, 0.05, 6.0, 0.5])
    assert told.micro.targets.parts == ((0, 1), (2,), (3, 4), (5,))
    assert told.options.initial_update is True
    source = told.prepared.source
    assert all(source.load(b).surveys is not None for b in range(len(source)))
    without = heard(monkeypatch, problem)
    assert not hasattr(without, "micro") and without.options.initial_update is False
    source = without.prepared.source
    assert all(source.load(b).surveys is None for b in range(len(source)))


def test_verbose_solves_print_what_is_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    problem = nevo.problem(blpdask, 4)
    monkeypatch.setattr(blpdask.options, "verbose", True)
    monkeypatch.setattr(blpdask.options, "verbose_output", printed.append)
    heard(monkeypatch, problem, micro_moments=moments_of(blpdask))
    assert "Micro Moments:" in printed[0] and "E[age sugar] / E[age]" in printed[0]


def test_recordings_are_of_their_moments() -> None:
    """What is resumed is named by observed values and by what functions do."""
    from blpdask.partitions.sealed import digest

    problem = nevo.problem(blpdask, 4)

    def name(value: float, scale: float) -> str:
        dataset = MicroDataset("d", 10, ones)
        moments = [
            MicroMoment("m", value, [PART], lambda v: scale * v[0], lambda v: [scale]),
            MicroMoment.mean("age", value=1, dataset=dataset, given="inside"),
        ]
        return digest(checked(problem, moments).contents)

    assert name(1.0, 2.0) == name(1.0, 2.0)
    assert len({name(1.0, 2.0), name(1.5, 2.0), name(1.0, 3.0)}) == 3


def test_a_first_w_makes_an_update_unneeded(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, moments = nevo.problem(blpdask, 4), moments_of(blpdask)
    W = np.eye(problem.MD + 4)
    told = heard(monkeypatch, problem, micro_moments=moments, W=W)
    assert told.options.initial_update is False
    np.testing.assert_array_equal(told.W, W)
    told = heard(monkeypatch, problem, micro_moments=moments, W=W, initial_update=True)
    assert told.options.initial_update is True
    says(
        lambda: problem.solve(
            nevo.SIGMA, nevo.PI, micro_moments=moments, initial_update=False
        ),
        "initial_update=False with micro_moments and no W",
    )
    size = problem.MD
    says(
        lambda: problem.solve(
            nevo.SIGMA, nevo.PI, micro_moments=moments, W=np.eye(size)
        ),
        f"W of shape ({size}, {size})",
        f"{size + 4} by {size + 4} matrix",
    )


def test_faults_of_moments_are_not_laid_on_w() -> None:
    problem, moments = nevo.problem(blpdask, 4), moments_of(blpdask)
    error = says(
        lambda: problem.solve(
            nevo.SIGMA,
            nevo.PI,
            micro_moments=[*moments, moments[0]],
            W=np.eye(problem.MD + 5),
        ),
        "listed twice",
    )
    assert len(error.faults) == 1


@pytest.mark.parametrize(
    ("covariances", "part"),
    [
        (np.eye(3), "micro_sample_covariances of shape (3, 3)"),
        (-np.eye(4), "micro_sample_covariances with lowest eigenvalue -1"),
        (np.full((4, 4), np.nan), "micro_sample_covariances with NaN"),
        ("four", "micro_sample_covariances that is not numeric"),
    ],
)
def test_sample_covariances_are_checked(covariances: Any, part: str) -> None:
    problem = nevo.problem(blpdask, 4)
    says(
        lambda: problem.solve(
            nevo.SIGMA,
            nevo.PI,
            micro_moments=moments_of(blpdask),
            micro_sample_covariances=covariances,
        ),
        part,
    )


def test_where_micro_moments_cannot_be() -> None:
    moments = moments_of(blpdask)
    problem = nevo.problem(blpdask, 4)
    says(
        lambda: problem.solve(
            nevo.SIGMA,
            nevo.PI,
            micro_moments=moments,
            method="cue",
            resample_agent_data=lambda index: None,
        ),
        "micro_moments with method='cue'",
        "micro_moments with resample_agent_data",
    )
    says(
        lambda: nevo.logit(blpdask, 4).solve(micro_moments=moments),
        "micro_moments with no agents",
    )
    says(
        lambda: problem.solve(nevo.SIGMA, nevo.PI, micro_sample_covariances=np.eye(2)),
        "micro_sample_covariances without micro_moments",
    )


def test_moments_count_beside_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fourteen parameters, thirteen instruments and one moment are enough."""
    products, agents = nevo.tables(4)
    names = [f"demand_instruments{i}" for i in range(13, 20)]
    problem = blpdask.Problem(
        (
            blpdask.Formulation("0 + prices", absorb="C(product_ids)"),
            blpdask.Formulation("1 + prices + sugar + mushy"),
        ),
        products.drop(columns=names),
        blpdask.Formulation("0 + income + income_squared + age + child"),
        agents,
    )
    assert problem.MD == 13
    says(lambda: problem.solve(nevo.SIGMA, nevo.PI), "13 instruments for 14 parameters")
    one = [MicroMoment.mean("income", value=0.1, dataset=SURVEY)]
    heard(monkeypatch, problem, micro_moments=one)


def with_micro(results: Any) -> Any:
    """Give results what an estimator of micro moments would have found."""
    micro = checked(nevo.problem(blpdask, 4), moments_of(blpdask))
    found = blpdask.ProblemResults(results._steps, micro_moments=micro.describe())
    values = np.array([[0.25], [0.06], [5.5], [0.125]])
    found.__dict__["micro_values"] = values
    return found


def test_results_name_and_print_micro_moments(tmp_path: Path) -> None:
    results = nevo.problem(blpdask, 4).solve(
        nevo.SIGMA,
        nevo.PI,
        method="1s",
        optimization=blpdask.Optimization("return"),
        check_optimality="gradient",
    )
    assert results.MM == 0 and "Micro Moments" not in str(results)
    found = with_micro(results)
    assert found.MM == 4
    text = str(found)
    assert "Estimated Micro Moments:" in text
    assert "-1.000000E-02" in text and "+5.000000E-01" in text
    found.save(tmp_path / "saved")
    again = blpdask.read_results(tmp_path / "saved")
    assert again.micro_moments == found.micro_moments
    copy = pickle.loads(pickle.dumps(found))
    assert copy.micro_moments == found.micro_moments
    plain = json.loads(
        json.loads((tmp_path / "saved" / "estimates.json").read_text())["content"]
    )
    assert plain["micro"][1]["observed"] == 0.05
    results.save(tmp_path / "none")
    assert blpdask.read_results(tmp_path / "none").micro_moments == ()
