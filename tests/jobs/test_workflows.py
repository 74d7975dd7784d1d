"""Every workflow can be checked, and the category's tables are what it says they are.

Invariants: a job under workflows/ has a README and is read without faults; tables of
the category depend on the seed alone; first-order conditions at the truth give the
costs that its prices were made of; the job finds the numbers of its README.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import blpdask
from blpdask.cli import app
from tests.references.fetched import require_data
from tests.references.specifications import quietly

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "workflows"
CATEGORY = WORKFLOWS / "category"
JOBS = sorted(path.parent.name for path in WORKFLOWS.glob("*/job.yaml"))
SMALL = ("--retailers", "8", "--months", "6", "--products", "12")
#: What makes a job small, or says where its tables are.
CHANGES = {"large": ("data.simulated.markets=20",)}


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def write_tables(folder: Path, *options: str) -> str:
    """Write the category's tables to a folder."""
    return subprocess.run(
        [sys.executable, str(CATEGORY / "write.py"), *options, "--output", str(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def tables_in(folder: Path) -> tuple[str, ...]:
    """Say where the category's tables are."""
    return tuple(
        f"data.{name}.source={folder / f'{name}.csv'}"
        for name in ("products", "agents")
    )


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.filterwarnings("ignore:integration weights do not sum to one")
def test_every_workflow_is_explained_and_can_be_checked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (WORKFLOWS / name / "README.md").read_text()
    assert f"blpdask run workflows/{name}/job.yaml" in readme
    assert f"workflows/{name}/README.md" in (ROOT / "README.md").read_text()
    changes = CHANGES.get(name, ())
    if name == "category":
        write_tables(tmp_path, *SMALL)
        changes = tables_in(tmp_path)
    job = (WORKFLOWS / name / "job.yaml").read_text()
    if "pyblp:" in job:
        pytest.importorskip("pyblp")
    for fetched in re.findall(r"\bdata:(\w+)", job):
        require_data(fetched)
    sets = [word for change in changes for word in ("--set", change)]
    shown = invoke("check", WORKFLOWS / name / "job.yaml", "--evaluate", *sets)
    value = "log-likelihood" if "kind: choices" in job else "objective"
    assert "Formulations:" in shown and value in shown


def test_tables_of_the_category_depend_on_the_seed_alone(tmp_path: Path) -> None:
    written = []
    for folder, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        (tmp_path / folder).mkdir()
        said = write_tables(tmp_path / folder, *SMALL, "--seed", seed)
        assert said.startswith("576 products, ")
        tables = [tmp_path / folder / f"{name}.csv" for name in ("products", "agents")]
        written.append([table.read_bytes() for table in tables])
    assert written[0] == written[1]
    assert written[0][0] != written[2][0] and written[0][1] != written[2][1]


def test_prices_of_the_category_are_those_of_its_costs(tmp_path: Path) -> None:
    """First-order conditions at the truth, from the other direction."""
    write_tables(tmp_path, *SMALL)
    products = pd.read_csv(tmp_path / "products.csv")
    texts = ("0 + prices + fat + sugar + organic", "0 + prices + fat", "1 + milk")
    with quietly():
        results = blpdask.Problem(
            [blpdask.Formulation(text) for text in texts],
            products,
            blpdask.Formulation("0 + income"),
            pd.read_csv(tmp_path / "agents.csv"),
        ).solve(
            [[0, 0], [0, 1.0]],
            [[0.6], [0.8]],
            beta=[-3.0, -0.5, 0.5, 0.4],
            method="1s",
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
        )
    np.testing.assert_allclose(results.tilde_costs[:, 0], products["costs"], rtol=1e-9)
    linear = products[["prices", "fat", "sugar", "organic"]] @ [-3.0, -0.5, 0.5, 0.4]
    xi = products[["brand_effect", "month_effect", "xi"]].sum(axis=1)
    np.testing.assert_allclose(results.delta[:, 0], linear + xi, rtol=1e-9)
    cost = products[["milk", "syrup", "freight", "organic"]] @ [0.5, 0.4, 0.3, 0.3]
    np.testing.assert_allclose(products["costs"], 1 + cost + products["omega"])


def test_the_category_finds_the_numbers_of_its_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "15 instruments selected" in write_tables(tmp_path)
    sets = [word for change in tables_in(tmp_path) for word in ("--set", change)]
    shown = invoke("run", CATEGORY / "job.yaml", "--engine", "threads", *sets)
    assert "Hansen's J: 3.46264, 11 degrees of freedom" in shown
    found = pd.read_csv("results/category/estimates.csv")
    readme = (CATEGORY / "README.md").read_text().replace("−", "-")
    rows = re.findall(
        r"^\| [ΣΠβ] [^|]*\| (.*) \| (.*) \| (.*) \|$", readme, re.MULTILINE
    )
    truth, estimates, errors = np.array(rows, dtype=np.float64).T
    np.testing.assert_array_equal(found["estimate"].round(3), estimates)
    np.testing.assert_array_equal(found["std_error"].round(3), errors)
    assert (np.abs(estimates - truth) < 3 * errors).all()
