"""A solve that is made again with its recording gives the bits of one never stopped.

Invariants: for every method and wherever the recording ends, all arrays of the results
are those of a calm solve, bit for bit, times aside; a recording of another problem or
of other options is refused by name.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import blpdask
from blpdask.driver import checkpointing, recording
from blpdask.errors import InputError, StoreError
from blpdask.partitions.log_frames import read_frames
from blpdask.partitions.run_log import LOG, keep_first
from blpdask.progress import EvaluationEvent, StepEvent
from tests.api import nevo

TIMES = {"total_time", "optimization_time"}
METHODS = {
    "structured": blpdask.Optimization("structured"),
    "bfgs": blpdask.Optimization("bfgs", {"gtol": 1e-4, "maxiter": 15}),
    "nelder-mead": blpdask.Optimization(
        "nelder-mead", {"maxfev": 60}, compute_gradient=False
    ),
}
pytestmark = pytest.mark.filterwarnings("ignore::blpdask.errors.NumericalWarning")


def bits(results):
    """Give everything in all steps of results that is no time, as bytes."""
    found = []
    for step in results._steps:
        for field in dataclasses.fields(step):
            if field.name not in TIMES:
                found.append((field.name, as_bytes(getattr(step, field.name))))
    return found


def as_bytes(value):
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, tuple):
        return tuple(map(as_bytes, value))
    return repr(value)


@pytest.fixture(scope="module")
def problem():
    return nevo.problem(blpdask, 20)


def solve(problem, **arguments):
    defaults = {"sigma": nevo.SIGMA, "pi": nevo.PI, "W_type": "unadjusted"}
    return problem.solve(
        **{**defaults, "progress": lambda event: None, "threads": 2, **arguments}
    )


def count(directory):
    return len(list(read_frames(directory / LOG))) - 2


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kept_at_rest", [False, True])
def test_a_solve_cut_anywhere_ends_with_the_same_bits(
    problem, tmp_path, monkeypatch, name, kept_at_rest
):
    if kept_at_rest:
        monkeypatch.setattr(recording, "CHECKPOINT_SECONDS", 0.0)
        monkeypatch.setattr(checkpointing, "SHARE", 0.0)
    optimization = METHODS[name]
    calm = bits(solve(problem, optimization=optimization))
    recorded = solve(problem, optimization=optimization, resume=tmp_path)
    assert bits(recorded) == calm
    n = count(tmp_path)
    assert not (tmp_path / "memories").exists()
    for left in (n, n - 3, n // 2 + 20, n // 2, 7, 1, 0):
        keep_first(tmp_path, left)
        again = solve(problem, optimization=optimization, resume=tmp_path, threads=1)
        assert bits(again) == calm, left
        assert count(tmp_path) == n
    assert [path.name for path in tmp_path.iterdir()] == [LOG]


@pytest.mark.parametrize(
    "arguments",
    [
        {"starts": 2, "method": "1s"},
        {"initial_update": True},
        {"finite_differences": True, "method": "1s"},
        {"delta_behavior": "last"},
        {"delta_behavior": "first", "backend": "numpy", "method": "1s"},
        {"iteration": blpdask.Iteration("squarem"), "method": "1s"},
        {"iteration": blpdask.Iteration("df-sane"), "method": "1s"},
    ],
    ids=str,
)
def test_every_kind_of_solve_resumes(problem, tmp_path, arguments):
    arguments["optimization"] = blpdask.Optimization("slsqp", {"maxiter": 4})
    if "delta_behavior" in arguments:
        arguments["delta"] = np.log(problem.products.shares) * 0.9
    calm = bits(solve(problem, **arguments))
    solve(problem, resume=tmp_path, **arguments)
    n = count(tmp_path)
    keep_first(tmp_path, 2 * n // 3)
    assert bits(solve(problem, resume=tmp_path, **arguments)) == calm


def rule(seed=2):
    return blpdask.Integration("monte_carlo", 20, {"seed": seed})


def test_replicates_are_kept_with_the_recording(tmp_path):
    problem = nevo.problem(blpdask, 20).with_agents(integration=rule())
    redrawn = {"resample_agent_data": blpdask.Resamples(5, seed=1), "method": "1s"}
    calm = bits(solve(problem, **redrawn))
    recorded = tmp_path / "recorded"
    assert bits(solve(problem, resume=recorded, **redrawn)) == calm
    (kept,) = (recorded / "replicates").iterdir()
    times = {p.name: p.stat().st_mtime_ns for p in (kept / "done").iterdir()}
    assert len(times) == 5
    # A recording that was moved is still the same.
    moved = recorded.rename(tmp_path / "moved")
    done = moved / "replicates" / kept.name / "done"
    (done / "3").unlink()
    del times["3"]
    assert bits(solve(problem, resume=moved, **redrawn)) == calm
    after = {p.name: p.stat().st_mtime_ns for p in done.iterdir()}
    assert after.keys() == times.keys() | {"3"}
    assert times == {name: after[name] for name in times}
    # A place of their own does not make another estimation of it.
    elsewhere = blpdask.Resamples(5, seed=1, directory=tmp_path / "own")
    own = solve(problem, resume=moved, resample_agent_data=elsewhere, method="1s")
    assert bits(own) == calm
    assert (tmp_path / "own" / kept.name).is_dir()
    for other in (
        {"resample_agent_data": blpdask.Resamples(5, seed=2)},
        {"resample_agent_data": blpdask.Resamples(6, seed=1)},
        {"simulation_scaling": "pyblp"},
    ):
        with pytest.raises(StoreError, match=r"another estimation \(resampling "):
            solve(problem, resume=moved, **{**redrawn, **other})


def test_replay_is_told_and_costs_no_evaluations(problem, tmp_path):
    events = []
    solve(problem, resume=tmp_path, progress=events.append)
    assert not any("eplay" in e.message for e in events if isinstance(e, StepEvent))
    told = [plain(event) for event in events if isinstance(event, EvaluationEvent)]
    for left in (count(tmp_path), 10):
        keep_first(tmp_path, left)
        events.clear()
        solve(problem, resume=tmp_path, progress=events.append)
        again = [plain(event) for event in events if isinstance(event, EvaluationEvent)]
        assert again == told
        sentences = [e.message for e in events if isinstance(e, StepEvent)]
        assert sentences[0].startswith(f"Replaying {left} recorded sums over blocks (")
        assert ("Replayed; computing again" in sentences) == (left == 10)


def plain(event):
    return repr(dataclasses.replace(event, seconds=0.0))


def test_other_problems_and_options_are_refused_by_name(problem, tmp_path):
    solve(problem, resume=tmp_path, method="1s")
    before = (tmp_path / LOG).read_bytes()
    others = [
        ("data", nevo.problem(blpdask, 19), {}),
        ("data", problem, {"blocks": 3}),
        ("parameters", problem, {"sigma": nevo.SIGMA * 1.1}),
        ("options", problem, {"method": "2s"}),
        ("options", problem, {"backend": "numpy"}),
        ("optimization", problem, {"optimization": METHODS["bfgs"]}),
        ("weights and starts", problem, {"W": np.eye(problem.MD)}),
    ]
    for part, other, arguments in others:
        with pytest.raises(StoreError, match=rf"another estimation \({part} ") as error:
            solve(other, **{"resume": tmp_path, "method": "1s", **arguments})
        assert f"bring the same {part}" in str(error.value)
    assert (tmp_path / LOG).read_bytes() == before


def test_a_file_is_no_directory(problem, tmp_path):
    (tmp_path / "file").write_text("")
    for resume in (tmp_path / "file", 3):
        with pytest.raises(InputError, match="resume="):
            solve(problem, resume=resume)


def test_an_error_leaves_the_recording_to_be_resumed(problem, tmp_path):
    calm = bits(solve(problem))

    def stop(event):
        if isinstance(event, EvaluationEvent) and event.number == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(problem, resume=tmp_path, progress=stop)
    assert len(list(read_frames(tmp_path / LOG))) == 1 + 5
    assert bits(solve(problem, resume=tmp_path)) == calm


def iterating(tolerance):
    """Make a routine, always of one name, that iterates to a tolerance."""

    def fixed(initial, contraction, callback, **options):
        x, change = initial, np.inf
        while change > tolerance:
            moved = contraction(x)[0]
            change, x = np.abs(moved - x).max(), moved
        return x, True

    return fixed


def norm(factor):
    return lambda x: factor * np.abs(x).max()


class Still:
    """An optimiser that stays at the starting values, moved by a step."""

    def __init__(self, step):
        self.step = step

    def __call__(self, initial, bounds, objective, callback, **options):
        objective(initial + self.step)
        return initial + self.step, True


FUNCTIONS = {
    "routine": (
        "options",
        lambda loose: {"iteration": blpdask.Iteration(iterating([1e-13, 1e-1][loose]))},
    ),
    "norm": (
        "options",
        lambda loose: {
            "iteration": blpdask.Iteration(
                "simple", {"norm": norm([1.0, 1e-12][loose])}
            )
        },
    ),
    "optimiser": (
        "optimization",
        lambda loose: {"optimization": blpdask.Optimization(Still([0.0, 0.01][loose]))},
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_another_function_of_the_same_name_is_refused(problem, tmp_path, name):
    part, arguments = FUNCTIONS[name]
    given = {"method": "1s", "optimization": blpdask.Optimization("return")}
    given |= {"check_optimality": "gradient"}
    loose = solve(problem, resume=tmp_path, **{**given, **arguments(True)})
    with pytest.raises(StoreError, match=rf"another estimation \(.*{part} "):
        solve(problem, resume=tmp_path, **{**given, **arguments(False)})
    tight = solve(problem, **{**given, **arguments(False)})
    assert abs(loose.objective.item() - tight.objective.item()) > 1e-3
    again = solve(problem, resume=tmp_path, **{**given, **arguments(True)})
    assert bits(again) == bits(loose)


def test_a_routine_that_counts_its_calls_is_resumed(problem, tmp_path):
    def counting():
        calls, iterate = [], iterating(1e-12)

        def routine(*arguments, **options):
            calls.append(1)
            return iterate(*arguments, **options)

        return calls, blpdask.Iteration(routine)

    given = {
        "method": "1s",
        "optimization": blpdask.Optimization("slsqp", {"maxiter": 3}),
    }
    calls, iteration = counting()
    calm = bits(solve(problem, resume=tmp_path, iteration=iteration, **given))
    n = count(tmp_path)
    keep_first(tmp_path, n // 2)
    fewer, iteration = counting()
    again = bits(solve(problem, resume=tmp_path, iteration=iteration, **given))
    assert again == calm
    assert 0 < len(fewer) < len(calls)
