"""Micro moments that a job declares are those of the Python interface."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.errors import InputError
from blpdask.jobs.build import solve_arguments
from blpdask.jobs.explain import explain_options
from blpdask.jobs.load import load_job
from blpdask.jobs.resolve import resolve_job
from tests.jobs.job_files import write_job

JOB = """
name: small
data: {products: {source: products.csv}}
formulations: {linear: "1", random: "0 + prices"}
integration: {specification: product, size: 3}
sigma: [[0.3]]
micro:
  datasets:
    CEX: {observations: 29125}
    buyers: {observations: 100, weights: inside, market_ids: [a, b]}
  moments:
    - {statistic: mean, x: nodes0, given: inside, value: 0.25, dataset: CEX}
    - {statistic: share, x: inside, value: 0.5, dataset: CEX, name: purchases}
    - {statistic: covariance, x: nodes0, y: prices, value: 0.5, dataset: buyers}
    - {statistic: correlation, x: nodes0, y: prices, value: -1, dataset: buyers}
    - {statistic: regression, x: nodes0, y: prices, value: 0, dataset: buyers}
  sample_covariances: SAMPLE
"""


def test_declared_moments_become_micro_moments(tmp_path):
    path = write_job(tmp_path, JOB.replace("SAMPLE", "null"))
    arguments = solve_arguments(load_job(path).job)
    assert "micro_sample_covariances" not in arguments
    moments = arguments["micro_moments"]
    assert [(moment.name, moment.value) for moment in moments] == [
        ("E[nodes0 | inside]", 0.25),
        ("purchases", 0.5),
        ("Cov(nodes0, prices)", 0.5),
        ("Corr(nodes0, prices)", -1.0),
        ("Slope of prices on nodes0", 0.0),
    ]
    cex, buyers = moments[0].parts[0].dataset, moments[2].parts[0].dataset
    assert str(cex) == "CEX: 29125 Observations in All Markets"
    assert str(buyers) == "buyers: 100 Observations in 2 Markets"
    assert moments[1].parts[0].dataset is cex
    assert str(cex.compute_weights) == "1"
    assert buyers.market_ids == {"a", "b"}


def test_second_choices_are_declared(tmp_path):
    text = JOB.replace("SAMPLE", "null").replace(
        "weights: inside,",
        "weights: inside * second(inside), eliminated_product_ids_index: 1,",
    )
    moments = solve_arguments(load_job(write_job(tmp_path, text)).job)["micro_moments"]
    dataset = moments[2].parts[0].dataset
    assert dataset.eliminated_product_ids_index == 1
    assert str(dataset.compute_weights) == "inside * second(inside)"
    assert dataset.compute_weights.of_second
    wrong = text.replace("index: 1", "index: -1")
    with pytest.raises(InputError, match="eliminated_product_ids_index"):
        load_job(write_job(tmp_path, wrong))


def test_covariances_are_read_and_jobs_resolve(tmp_path):
    matrix = str(np.eye(5).tolist())
    path = write_job(tmp_path, JOB.replace("SAMPLE", matrix))
    job = resolve_job(load_job(path).job, tmp_path)
    arguments = solve_arguments(job)
    np.testing.assert_array_equal(arguments["micro_sample_covariances"], np.eye(5))
    assert job.model_dump()["micro"]["moments"][0]["x"] == "nodes0"


def test_jobs_without_micro_moments_have_none(tmp_path):
    text = JOB[: JOB.index("micro:")]
    arguments = solve_arguments(load_job(write_job(tmp_path, text)).job)
    assert "micro_moments" not in arguments


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("x: inside,", "exs: inside,", ("micro.moments.1.exs", "one of statistic, x")),
        ("statistic: share", "statistics: share", ("did you mean statistic?",)),
        ("observations: 100", "observation: 100", ("micro.datasets.buyers", "did you")),
        ("observations: 100", "observations: 0", ("micro.datasets.buyers.obs",)),
        ("mean,", "median,", ("micro.moments.0.statistic = 'median'", "mean, share")),
        ("dataset: CEX}", "dataset: CES}", ("dataset 'CES'", "CEX, buyers")),
        ("mean, x", "mean, y: prices, x", ("micro.moments.0: mean with y",)),
        ("correlation, x: nodes0, y", "correlation, x", ()),
        ("covariance, x: nodes0,", "covariance, x: nodes0 +,", ("micro.moments.2",)),
        ("weights: inside", "weights: max(1)", ("micro.datasets.buyers: ",)),
        ("covariance, x: nodes0, y: prices", "covariance, x: nodes0", ("without y",)),
        ("x: inside, value: 0.5", "x: inside, value: a", ("micro.moments.1.value",)),
    ],
)
def test_what_is_wrong_is_said_where(tmp_path, old, new, words):
    text = JOB.replace("SAMPLE", "null")
    assert old in text
    with pytest.raises(InputError) as caught:
        load_job(write_job(tmp_path, text.replace(old, new, 1)))
    for word in words:
        assert word in str(caught.value)


def test_options_of_micro_moments_are_explained():
    text = explain_options("micro")
    for name in ("micro.datasets.weights: 1", "micro.moments.statistic: (required)"):
        assert name in text
    for line in text.splitlines():
        assert line.strip()
