"""A job file is right, or all that is wrong with it is said at once."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from blpdask.errors import InputError
from blpdask.jobs.load import load_job
from blpdask.jobs.schema import Job
from blpdask.jobs.simulated import SimulatedSource, market_design
from blpdask.simulation.design import MarketDesign
from tests.jobs.job_files import JOB, write_job

FAULTY = """
name: two words
data:
  products: {sorce: products.csv}
  agents: {source: nowhere.csv}
formulations:
  linear: "0 + prices"
  random: "1 + system(ls)"
sigma: [[1, 2], [3]]
rc_types: [linear, cubic]
integration: {specification: halton, size: 0}
bounds: {pi: {lower: 0}}
solve:
  W_tpe: robust
  method: 3s
  error_punishment: "1"
  scale_objective: 1
  iteration: {method: squarem, method_options: {atool: 1}}
  shares_bounds: [1, 2, 3]
engine: fast
sead: 3
"""


def faults_of(path, overrides=()):
    with pytest.raises(InputError) as caught:
        load_job(path, overrides)
    return caught.value.faults


def test_every_fault_is_listed_at_once(tmp_path):
    faults = faults_of(write_job(tmp_path, FAULTY))
    found = "\n".join(fault.found for fault in faults)
    for start in (
        "line 2: name = 'two words'",
        "line 4: no option data.products.source",
        "line 4: unknown option data.products.sorce",
        f"data.agents.source = nowhere.csv, and there is no file {tmp_path}",
        "formulations.random: the call system(...)",
        "line 9: sigma = [[1, 2], [3]]",
        "line 10: rc_types.1 = 'cubic'",
        "line 11: integration.size = 0",
        "bounds.pi without pi",
        "line 14: unknown option solve.W_tpe",
        "line 15: solve.method = '3s'",
        "line 16: solve.error_punishment = '1'",
        "line 17: solve.scale_objective = 1",
        "solve.iteration: option 'atool' of method 'squarem'",
        "line 19: solve.shares_bounds = [1, 2, 3]",
        "line 20: engine = 'fast'",
        "line 21: unknown option sead",
    ):
        assert start in found
    assert len(faults) == 17


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("solve: {W_tpe: robust}", "did you mean W_type?"),
        ("solve: {optimisation: {method: bfgs}}", "did you mean optimization?"),
        ("engine: {thread: 2}", "did you mean threads?"),
        ("solve: {optimization: {metod: bfgs}}", "did you mean method?"),
        ("zzzz: 1", "delete it, or see 'blpdask options'"),
    ],
)
def test_unknown_options_come_with_the_closest_known(tmp_path, line, suggestion):
    text = JOB.replace("solve:\n  method: 1s\n", "") + line
    (fault,) = faults_of(write_job(tmp_path, text))
    assert "unknown option" in fault.found
    assert fault.remedy == suggestion


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("sigma: [[1]]", "sigma without formulations.random"),
        ("gamma: [1]", "gamma without formulations.supply"),
        ("data: {}", "neither data.products nor data.simulated nor data.store"),
        (
            "data: {products: {source: products.csv}, simulated: {}}",
            "data.simulated beside data.products",
        ),
        (
            "data: {store: ., agents: {source: products.csv}}",
            "data.store beside data.agents",
        ),
        (
            "data: {simulated: {}, store: .}",
            "data.simulated beside data.store",
        ),
        (
            "formulations: {linear: '1', random: '1'}\nsigma: 1",
            "random coefficients, and neither data.agents nor integration",
        ),
        (
            "formulations: {linear: '1', demographics: '0 + x'}\npi: 1",
            "formulations.demographics without formulations.random",
        ),
        (
            "formulations: {linear: '1', random: '1 + x'}\nsigma: [[1, 0]]\n"
            "integration: {specification: product, size: 3}",
            "sigma is 1 x 2",
        ),
        (
            "formulations: {linear: '1', random: '1 + x'}\nsigma: [[1, 0], [0, 1]]\n"
            "integration: {specification: product, size: 3}\nrc_types: [log]",
            "rc_types has 1 entry, sigma has 2 rows",
        ),
        (
            "formulations: {linear: '1', random: '1 + x'}\nsigma: [[1, 0], [0, 1]]\n"
            "integration: {specification: product, size: 3}\n"
            "bounds: {sigma: {upper: [[1, 2, 3]]}}",
            "bounds.sigma.upper is 1 x 3, sigma 2 x 2",
        ),
    ],
)
def test_options_that_contradict_each_other_are_faults(tmp_path, lines, found):
    given = {line.split(":")[0] for line in lines.splitlines()}
    base = {
        "name": "name: small\n",
        "data": "data: {products: {source: products.csv}}\n",
        "formulations": "formulations: {linear: '1'}\n",
    }
    text = "".join(v for k, v in base.items() if k not in given) + lines
    (fault,) = faults_of(write_job(tmp_path, text))
    assert fault.found == found


@pytest.mark.parametrize(
    ("source", "found", "remedy"),
    [
        ("table.xlsx", "data.products.source = table.xlsx", "save the table"),
        ("none.csv", "data.products.source = none.csv, and", "check the path"),
        ("pyblp:os.system", "data.products.source = pyblp:os.system", "say pyblp:NEVO"),
        ("pyblp:../../x_LOCATION", "data.products.source = pyblp:..", "say pyblp:NEVO"),
        ("pyblp:MY_LOCATION", "data.products.source = pyblp:MY_LOCATION", "choose one"),
    ],
)
def test_sources_that_are_not_there_are_faults(tmp_path, source, found, remedy):
    text = JOB.replace("products.csv", f'"{source}"')
    (fault,) = faults_of(write_job(tmp_path, text))
    assert fault.found.startswith(found)
    assert fault.remedy.startswith(remedy)


def test_absence_of_pyblp_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text = JOB.replace("products.csv", '"pyblp:NEVO_PRODUCTS_LOCATION"')
    (fault,) = faults_of(write_job(tmp_path, text))
    assert fault.remedy == "pip install 'blpdask[examples]'"


def test_examples_of_pyblp_are_found_without_importing_it(tmp_path):
    text = JOB.replace("products.csv", '"pyblp:NEVO_PRODUCTS_LOCATION"')
    loaded = "pyblp" in sys.modules
    load_job(write_job(tmp_path, text))
    assert ("pyblp" in sys.modules) == loaded


def test_values_from_the_command_line_replace_those_of_the_file(tmp_path):
    path = write_job(tmp_path)
    overrides = [
        "solve.method=2s",
        "solve.optimization.method_options.gtol=1e-4",
        "engine.threads=3",
        "beta=[null, -3]",
        "beta.0=7",
        "description=a b",
    ]
    job = load_job(path, overrides).job
    assert job.solve.method == "2s"
    assert job.solve.optimization.method_options == {"gtol": 1e-4}
    assert job.engine.threads == 3
    assert job.beta == ((7.0,), (-3.0,))
    assert job.description == "a b"


def test_faults_of_the_command_line_join_those_of_the_file(tmp_path):
    path = write_job(tmp_path, JOB + "sead: 1\n")
    faults = faults_of(path, ["solve", "solve.methd=1s", "engine.kind=gpu", "name.x=1"])
    assert {fault.found for fault in faults} == {
        "--set solve",
        "--set name.x=1",
        "--set: unknown option solve.methd",
        "--set: engine.kind = 'gpu'",
        "line 9: unknown option sead",
    }


@pytest.mark.parametrize("text", ["", "- 1", "just words"])
def test_a_file_that_is_no_mapping_is_no_job(tmp_path, text):
    (fault,) = faults_of(write_job(tmp_path, text))
    assert fault.found.endswith("at the top of the file")


def test_options_of_a_simulated_truth_are_those_of_the_design():
    made, design = market_design(SimulatedSource()), MarketDesign()
    for field in dataclasses.fields(MarketDesign):
        assert getattr(made, field.name) == getattr(design, field.name)
    names = {
        name.removeprefix("n_")
        for name in (field.name for field in dataclasses.fields(MarketDesign))
    }
    assert set(SimulatedSource.model_fields) == names


def test_every_option_has_a_meaning():
    def undocumented(model, prefix):
        for name, field in model.model_fields.items():
            if not field.description:
                yield prefix + name

    assert list(undocumented(Job, "")) == []
    for name in ("data", "formulations", "solve", "engine", "bounds"):
        model = Job.model_fields[name].annotation
        assert list(undocumented(model, f"{name}.")) == []
    assert list(undocumented(SimulatedSource, "simulated.")) == []
