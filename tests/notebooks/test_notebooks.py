"""Notebooks and the README run, and show what they found when they were written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import blpdask
from tests.references.fetched import require_data

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = Path(blpdask.__file__).parents[1] / "notebooks"
#: Data that a notebook fetches.
FETCHED = ("electricity", "swissmetro")
#: What must be among the outputs of each.
KEY_NUMBERS = {
    "addiction.ipynb": (
        "rows whose lag is known: 97.5%",
        "lag                 1.00  1.985  1.015  0.040",
        *("logit: lag 1.060 (0.066)", "mixed: lag -0.003 (0.043)"),
        *("given: lag 1.217 (0.185)", "made : lag 0.850 (0.147)"),
        "cigarettes       0.2614  0.2606         0.2501",
        *("10             -8.85     -8.85", "20            -10.75     -0.00"),
    ),
    "automobiles.ipynb": (
        "(True, True)",
        "OLS price -0.0886 (0.0043), 1502 of 2217 models inelastic",
        "objective 497.3357, converged: True",
        *("-44.843      9.217", "0.897      0.072"),
        "mean markup over price 0.316",
        "Distance     178.62, χ²(5)",
    ),
    "category.ipynb": (
        "15 of 43 candidates",
        "BLP price -3.041 (0.018)",
        "captain    0.5  0.464      0.056     0.464      0.056",
        "mean markup 0.453, truth 0.458",
        "97% of 70 intervals cover",
    ),
    "cluster.ipynb": (
        "[True, True, True, True]",
        "objective 19.406948, price -2.3466",
        "Replaying 17 recorded sums over blocks",
        "40 replicates kept",
        "sigma_se [0.0604] -> [0.0635]",
    ),
    "counterfactuals.ipynb": (
        "+0.000000E+00   +3.559796E-03   +3.559796E-03",
        "consumers bear 100.1 % of the tax at the median",
        *("7.872         0.019", "+9.619552E-03   +1.346826E+01"),
        "largest 0.0315, first order off by at most 0.0055",
        *("price, None      39.90", "has income 1.147 on average"),
        *("surplus in the short run 0.03230", "-1.337704E-02"),
        "compensation 0.004662, fall of surplus 0.004662",
        "the state pays 0.004229 per consumer",
        *("own elasticity -3.6181 (0.1251)", "markup 0.3639 (0.0148)"),
    ),
    "electricity.ipynb": (
        "logit: log-likelihood -4958.6491",
        "log-likelihood -3880.16, with fresh draws -3879.06",
        "500 Halton: says -3891.7177, is -3880.29",
        *("Likelihood ratio = 422.3793, χ²(15)", "sd.wtp.tod     3.092      0.237"),
        "share      0.394  0.315   0.291",
        *("log-likelihood -4298.0275", "1                0.2340  0.1586 -0.0753"),
    ),
    "merger.ipynb": (
        "own elasticities: mean -3.618, from -6.56 to -1.07",
        *("rows sum to [1.]", "mean markup 0.3639", "4 costs of 2256 below zero"),
        "Prices of merging firms    +1.204553E-01   +1.350949E-01",
        "+3.408194E+03   +5.199027E+03",
        "-1.361168E+01",
        "median 26.6 %, mean markup needed 0.5027",
        "merging       13.352          18.51",
    ),
    "nevo.ipynb": (
        *("4.561514", "588.3251", "-62.7299"),
        *("-60.34 (13.75)", "(True, True)"),
    ),
    "petrin.ipynb": (
        *("objective 129.7568, then 182.7195", "converged: True"),
        *("0.423      0.052", "12.060      1.006"),
        "+7.830E-01   +7.535E-01   +2.947E-02     E[age | mi]",
        "largest gap: E[age | su], 1.9 standard errors",
        *("1.804        0.052  34.741", "2.611        2.402   1.087"),
        "with    condition number 391",
        "probabilities average to shares: True",
        *("model     48.7   42.0", "logit     89.0    9.3"),
        "minivan        10.066  7.544   2.522       0.253",
        *("Hansen's J   182.72, χ²(35)", "Wald          23.91, χ²(3)"),
    ),
    "swissmetro.ipynb": (
        "an hour less: 70.7 francs (13.8)",
        *("exact -4359.4128, 64 draws -4359.65", "trapezoid, 101 nodes: -5214.89372"),
        "normal: median 116 francs an hour, below zero 19 % of people",
        *("Likelihood ratio = 45.7902, χ²(2)", "-5236.900014, mu 2.0541"),
        "swissmetro       0.5993  0.5613 -0.0380",
        *("surplus -10.54 francs a journey", "to the car if it is gone: 0.526"),
    ),
}


def texts(notebook: Any, kind: str) -> list[str]:
    """Gather the texts of outputs of a kind: printed (stream) or shown."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    if kind == "stream":
        return [o.text for o in outputs if o.output_type == "stream"]
    return [o.data["text/plain"] for o in outputs if "data" in o]


def executed(name: str) -> Any:
    """Run a notebook in a kernel of its own; any error of a cell is raised."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    client.execute()
    return notebook


def test_every_notebook_is_tested() -> None:
    assert {path.name for path in NOTEBOOKS.glob("*.ipynb")} == set(KEY_NUMBERS)


@pytest.mark.filterwarnings("default")  # warnings of Jupyter's own threads and sockets
@pytest.mark.parametrize("name", KEY_NUMBERS)
def test_a_notebook_runs(name: str) -> None:
    if (data := Path(name).stem) in FETCHED:
        require_data(data)
    stored = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbformat.validate(stored)
    run = executed(name)
    shown = "\n".join([*texts(run, "stream"), *texts(run, "shown")])
    for number in KEY_NUMBERS[name]:
        assert number in shown
    # A cell's prints arrive in one message or in several.
    assert "".join(texts(run, "stream")) == "".join(texts(stored, "stream"))
    assert "DeprecationWarning" not in shown and "DataWarning" not in shown


def test_stored_outputs_are_small_and_name_no_machine() -> None:
    for name in KEY_NUMBERS:
        text = (NOTEBOOKS / name).read_text()
        assert len(text) < 400_000
        assert "/tmp" not in text and "/home" not in text and "/work/" not in text


def test_the_example_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python block gives the numbers of the table below it."""
    pytest.importorskip("pyblp")
    monkeypatch.setattr(blpdask.options, "verbose", False)
    readme = (NOTEBOOKS.parent / "README.md").read_text()
    block, _ = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    results = names["results"]
    table = {
        "objective": f"{float(results.objective):.6f}",
        "price (β)": f"{results.beta[0, 0]:.2f} | {results.beta_se[0, 0]:.2f}",
        "prices × income (Π)": f"{results.pi[1, 0]:.2f} | {results.pi_se[1, 0]:.2f}",
        "prices × income² (Π)": f"{results.pi[1, 1]:.2f} | {results.pi_se[1, 1]:.2f}",
        "prices × child (Π)": f"{results.pi[1, 3]:.2f} | {results.pi_se[1, 3]:.2f}",
        "prices × prices (Σ)": (
            f"{results.sigma[1, 1]:.3f} | {results.sigma_se[1, 1]:.3f}"
        ),
    }
    for name, numbers in table.items():
        assert f"| {name} | {numbers.replace('-', '−')} |" in readme
    assert results.optimization_iterations < results.objective_evaluations <= 12


def test_the_example_of_choices_in_the_readme_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its Python block gives the numbers of the table below it."""
    require_data("electricity")
    monkeypatch.setattr(blpdask.options, "verbose", False)
    readme = (NOTEBOOKS.parent / "README.md").read_text()
    _, block = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    results = names["results"]
    pairs = list(zip(results.theta, results.standard_errors, strict=True))
    numbers = [f"{value:.4f} | {error:.4f}" for value, error in pairs]
    price, length, price_sd, length_sd = (numbers[p] for p in (0, 1, 6, 7))
    fits = f"{results.log_likelihood:.2f}; {results.fresh_log_likelihood:.2f}"
    table = {
        "log-likelihood with 64 draws of each person; with 256 fresh ones": f"{fits} |",
        "price, `pf`": price,
        "length of the contract, `cl`": length,
    }
    for name, shown in table.items():
        assert f"| {name} | {shown.replace('-', '−')} |" in readme
    for shown in (price_sd, length_sd):
        assert f"| its standard deviation over people | {shown} |" in readme


def test_the_readme_names_files_that_are_there() -> None:
    root = NOTEBOOKS.parent
    readme = (root / "README.md").read_text()
    linked = re.findall(r"\]\(([^)#][^)]*)\)", readme)
    assert linked
    for path in linked:
        assert (root / path).exists(), path
    order = re.search(r"fifteen minutes in all: (.*?)\.\n\n", readme, flags=re.DOTALL)
    assert order is not None
    for path in re.findall(r"`([^`]+)`", order[1]):
        assert (root / path).exists() or (root / "blpdask" / path).exists(), path
