"""Estimates of choice models as tables: of their parameters, fit and covariances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..choice_records import WTP, LikelihoodEstimates, MixedCoefficients
from ..records import Floats
from .choice_spreads import Spreads, shown_signs
from .tables import escape_latex
from .text_tables import Header, format_number, text_table

#: What errors of each kind are called.
ERRORS = {
    "hessian": "Hessian SE",
    "bhhh": "BHHH SE",
    "robust": "Robust SE",
    "clustered": "Clustered SE",
}


@dataclass(frozen=True, slots=True)
class ParameterLine:
    """One parameter of θ, spreads with the sign that they are shown with."""

    parameter: str
    estimate: float
    std_error: float

    @property
    def t_statistic(self) -> float:
        """Estimate over standard error."""
        return self.estimate / self.std_error if self.std_error > 0 else float("nan")


def parameter_lines(estimates: LikelihoodEstimates) -> list[ParameterLine]:
    """List the parameters, in the order of θ."""
    shown = estimates.theta * shown_signs(estimates.coefficients, estimates.theta)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.diag(estimates.covariances))
    labels = estimates.coefficients.parameter_labels
    columns = zip(labels, shown.tolist(), errors.tolist(), strict=True)
    return [ParameterLine(*column) for column in columns]


def parameters_table(estimates: LikelihoodEstimates, digits: int) -> str:
    """Print a row a parameter: estimate, standard error and t statistic."""
    header: list[Header] = ["Parameter", "Estimate", ERRORS[estimates.se_type], "t"]
    rows = [
        [
            line.parameter,
            *(format_number(v, digits) for v in (line.estimate, line.std_error)),
            f"{line.t_statistic:+.2f}",
        ]
        for line in parameter_lines(estimates)
    ]
    return text_table("Estimates", header, rows)


def fit_table(fit: Sequence[tuple[tuple[str, str], float]], digits: int) -> str:
    """Print statistics of fit, each under two lines of a header."""
    values = [format_number(value, digits) for _, value in fit]
    return text_table("Choice Results Summary", [header for header, _ in fit], [values])


def search_table(estimates: LikelihoodEstimates) -> str:
    """Print how the search ended."""
    header: list[Header] = [
        ("Computation", "Time (s)"),
        ("Optimizer", "Converged"),
        ("Optimization", "Iterations"),
        ("Likelihood", "Evaluations"),
        ("Gradient", "Norm"),
    ]
    row = [
        f"{estimates.seconds:.2f}",
        "Yes" if estimates.converged else "No",
        str(estimates.iterations),
        str(estimates.evaluations),
        f"{np.abs(estimates.gradient).max(initial=0.0):.3E}",
    ]
    return text_table("Search", header, [row])


def draws_table(draws: int, effective: Floats, fresh: float, digits: int) -> str:
    """Print draws of a person, how many they are worth, and what others find."""
    header: list[Header] = [
        ("Draws of", "a Person"),
        ("Effective Draws", "Least"),
        ("Effective Draws", "Median"),
    ]
    least, median = effective.min(), np.median(effective)
    row = [str(draws), f"{least:.1f}", f"{median:.1f}"]
    if np.isfinite(fresh):
        header.append(("Log-Likelihood", "with Fresh Draws"))
        row.append(format_number(fresh, digits))
    return text_table("Draws", header, [row])


def covariances_table(spreads: Spreads, error: str, digits: int) -> str:
    """Print Σ, its lower triangle, with standard errors below."""
    rows = []
    for d, label in enumerate(spreads.labels):
        rows.append([label, *_cells(spreads.sigma[d, : d + 1], digits, "{}")])
        rows.append(["", *_cells(spreads.sigma_se[d, : d + 1], digits, "({})")])
    title = f"Covariances of Random Coefficients ({error}s in Parentheses)"
    return text_table(title, ["Sigma Squared:", *spreads.labels], rows)


def describe_wtp(coefficients: MixedCoefficients) -> str:
    """Say in words what coefficients in willingness-to-pay space are."""
    return (
        f"Coefficients that begin with {WTP}. are what is paid for one more of their "
        f"columns,\nin units of {coefficients.scale[1:]}; that of "
        f"{coefficients.scale} multiplies them all."
    )


def describe_starts(estimates: LikelihoodEstimates) -> str:
    """Say where several starts led."""
    found = np.array([search.log_likelihood for search in estimates.searches])
    values = np.sort(found[np.isfinite(found)])[::-1]
    best = estimates.log_likelihood
    near = int((best - values <= 1e-6 * max(1.0, abs(best))).sum())
    text = f"Starts: {found.size}; {near} led to a log-likelihood of {best:.8g}"
    if values.size > near:
        text += f", the others to {values[near]:.8g} down to {values[-1]:.8g}"
    failed = found.size - values.size
    return f"{text}; {failed} failed." if failed else f"{text}."


def lines_html(estimates: LikelihoodEstimates, caption: str) -> str:
    """Write the parameters as an HTML table."""
    import html

    body = "".join(
        f"<tr><td>{html.escape(line.parameter)}</td><td>{line.estimate:.6g}</td>"
        f"<td>{line.std_error:.6g}</td><td>{line.t_statistic:.2f}</td></tr>"
        for line in parameter_lines(estimates)
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>"
        f"<th>parameter</th><th>estimate</th><th>{ERRORS[estimates.se_type]}</th>"
        f"<th>t</th></tr></thead><tbody>{body}</tbody></table>"
    )


def lines_latex(estimates: LikelihoodEstimates) -> str:
    """Write the parameters as a LaTeX tabular."""
    lines = [r"\begin{tabular}{lrrr}", r"\hline"]
    lines.append(rf"parameter & estimate & {ERRORS[estimates.se_type]} & t \\ \hline")
    for line in parameter_lines(estimates):
        numbers = f"{line.estimate:.6g} & {line.std_error:.6g} & {line.t_statistic:.2f}"
        lines.append(rf"{escape_latex(line.parameter)} & {numbers} \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"])


def _cells(values: Floats, digits: int, form: str) -> list[str]:
    return [form.format(format_number(value, digits)) for value in values]
