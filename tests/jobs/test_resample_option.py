"""Resamples that a job declares are those of the Python interface."""

from __future__ import annotations

import json

import numpy as np
import pytest

import blpdask
from blpdask.errors import InputError
from blpdask.jobs.build import solve_arguments
from blpdask.jobs.load import load_job
from blpdask.jobs.resolve import resolve_job
from blpdask.jobs.run import prepare_job, run_job
from tests.jobs.job_files import write_job

JOB = """
name: small
data: {products: {source: products.csv}}
formulations: {linear: "1", random: "0 + prices"}
integration: {specification: RULE, size: 16}
sigma: [[0.3]]
solve:
  method: 1s
  optimization: {method: return}
  check_optimality: gradient
  resample: RESAMPLE
seed: 5
"""


def job_text(resample, rule="monte_carlo"):
    return JOB.replace("RULE", rule).replace("RESAMPLE", resample)


def test_a_declared_resample_becomes_resamples(tmp_path):
    path = write_job(tmp_path, job_text("{replicates: 6, seed: 1}"))
    found = solve_arguments(load_job(path).job)["resample_agent_data"]
    assert (found.replicates, found.seed, found.integration) == (6, 1, None)
    path = write_job(tmp_path, job_text("{replicates: 6}"))
    resolved = resolve_job(load_job(path).job, tmp_path)
    assert resolved.solve.resample.seed == 5
    assert solve_arguments(resolved)["resample_agent_data"].seed == 5
    own = "{replicates: 6, integration: {specification: mlhs, size: 9}}"
    path = write_job(tmp_path, job_text(own, "product"))
    found = solve_arguments(load_job(path).job)["resample_agent_data"]
    assert found.integration.rule.specification == "mlhs"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (job_text("{replicates: 1}"), "replicates"),
        (job_text("{replicates: 3, seed: -1}"), "seed"),
        (job_text("{replicats: 3}"), "replicats"),
        (job_text("{replicates: 3}", "product"), "which draws nothing"),
        (
            job_text("{replicates: 3}").replace("integration:", "description: a #"),
            "solve.resample without integration",
        ),
    ],
)
def test_faults_of_a_declared_resample_are_named(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        load_job(write_job(tmp_path, text))


@pytest.mark.filterwarnings("ignore::blpdask.errors.DataWarning")
@pytest.mark.filterwarnings("ignore::blpdask.errors.NumericalWarning")
def test_a_job_computes_what_python_computes(tmp_path):
    path = write_job(tmp_path, job_text("{replicates: 6, seed: 1}"))
    table = np.genfromtxt(
        tmp_path / "products.csv", delimiter=",", names=True, dtype=None, encoding=None
    )
    problem = blpdask.Problem(
        (blpdask.Formulation("1"), blpdask.Formulation("0 + prices")),
        {name: table[name] for name in table.dtype.names},
        integration=blpdask.Integration("monte_carlo", 16, {"seed": 5}),
    )
    expected = problem.solve(
        [[0.3]],
        method="1s",
        optimization=blpdask.Optimization("return"),
        check_optimality="gradient",
        resample_agent_data=blpdask.Resamples(6, seed=1),
    ).simulation_covariances
    output = tmp_path / "out"
    run_job(prepare_job(path), output=output)
    found = blpdask.read_results(output / "results").simulation_covariances
    assert found.tobytes() == expected.tobytes()
    assert np.abs(found).max() > 0
    assert json.loads((output / "summary.json").read_text())
