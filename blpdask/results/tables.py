"""Estimates as tables: printed, as rows, as HTML and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..records import Floats
from .estimates import GmmEstimates
from .text_tables import Header, format_number, text_table


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """One parameter: where it stands, its estimate and how sure it is.

    ``kind`` is ``"free"``, ``"concentrated"`` or ``"fixed"``; a fixed parameter has NaN
    for a standard error.
    """

    matrix: str
    row: str
    column: str
    kind: str
    estimate: float
    std_error: float

    @property
    def t_statistic(self) -> float:
        """Estimate over standard error."""
        return self.estimate / self.std_error if self.std_error > 0 else float("nan")


def parameter_rows(estimates: GmmEstimates) -> list[ParameterRow]:
    """List every parameter that is not zero by construction, θ first."""
    rows = []
    K2 = len(estimates.sigma_labels)
    positions = [(k, c) for k in range(K2) for c in range(k + 1)]
    for k, c in positions:
        label = estimates.sigma_labels
        rows.append(_row(estimates, "sigma", label[k], label[c], k, c))
    for k in range(K2):
        for d, demographic in enumerate(estimates.pi_labels):
            label = estimates.sigma_labels
            rows.append(_row(estimates, "pi", label[k], demographic, k, d))
    for h, nest in enumerate(rho_names(estimates)):
        rows.append(_row(estimates, "rho", nest, "", h, 0))
    for r, name in enumerate(estimates.type_labels):
        rows.append(_row(estimates, "type_shares", name, "", r, 0))
    for e, d in np.ndindex(*estimates.phi.shape):
        names = estimates.phi_labels
        rows.append(_row(estimates, "phi", names[e], names[d], e, d))
    linear = [("beta", k, name) for k, name in enumerate(estimates.beta_labels)]
    linear += [("gamma", k, name) for k, name in enumerate(estimates.gamma_labels)]
    for (matrix, k, name), out in zip(linear, estimates.concentrated, strict=True):
        row = _row(estimates, matrix, name, "", k, 0)
        rows.append(replace(row, kind="concentrated") if out else row)
    return [row for row in rows if row.kind != "fixed" or row.estimate != 0]


def rho_names(estimates: GmmEstimates) -> tuple[str, ...]:
    """Name the rows of ρ as PyBLP does."""
    return ("All Groups",) if estimates.rho.size == 1 else estimates.rho_labels


def summary_table(estimates: GmmEstimates, digits: int = 7) -> str:
    """Print the objective and the conditions of a minimum."""
    reduced = np.isfinite(estimates.theta_bounds).any()
    header: list[Header] = [("GMM", "Step"), ("Objective", "Value")]
    values = [step_name(estimates), format_number(estimates.objective, digits)]
    if np.isfinite(estimates.projected_gradient_norm):
        header.append(
            (
                "Projected" if reduced else "Gradient",
                "Gradient Norm" if reduced else "Norm",
            )
        )
        values.append(format_number(estimates.projected_gradient_norm, digits))
    eigenvalues = estimates.reduced_hessian_eigenvalues
    if eigenvalues.size and np.isfinite(eigenvalues).all():
        name = "Reduced Hessian" if reduced else "Hessian"
        header += [(name, "Min Eigenvalue"), (name, "Max Eigenvalue")]
        values += [
            format_number(v, digits) for v in (eigenvalues.min(), eigenvalues.max())
        ]
    header.append(("Weighting Matrix", "Condition Number"))
    values.append(format_number(_condition(estimates.W), digits))
    if estimates.parameter_covariances.size > 1:
        header.append(("Covariance Matrix", "Condition Number"))
        values.append(
            format_number(_condition(estimates.parameter_covariances), digits)
        )
    return text_table("Problem Results Summary", header, [values])


def statistics_table(steps: Sequence[GmmEstimates]) -> str:
    """Print counts and times of all steps together."""
    header: list[Header] = [("Computation", "Time (s)")]
    values = [f"{sum(step.total_time for step in steps):.2f}"]
    if steps[-1].theta.size:
        converged = all(step.converged for step in steps)
        header += [("Optimizer", "Converged"), ("Optimization", "Iterations")]
        values += [
            "Yes" if converged else "No",
            str(sum(step.optimization_iterations for step in steps)),
        ]
    header.append(("Objective", "Evaluations"))
    values.append(str(sum(step.objective_evaluations for step in steps)))
    maps = sum(int(step.contraction_evaluations.sum()) for step in steps)
    if maps:
        header.append(("Contraction", "Evaluations"))
        values.append(str(maps))
    return text_table("Cumulative Statistics", header, [values])


def estimates_tables(estimates: GmmEstimates, digits: int = 7) -> list[str]:
    """Print Σ with Π, ΣΣ' where Σ is not diagonal, ρ, φ, β and γ, with errors."""
    suffix = f"({error_description(estimates)} in Parentheses)"
    tables = []
    if estimates.sigma_labels:
        header: list[Header] = ["Sigma:", *estimates.sigma_labels]
        if estimates.pi_labels:
            header += ["Pi:", *estimates.pi_labels]
        rows = []
        for k, label in enumerate(estimates.sigma_labels):
            lower = np.where(np.arange(len(estimates.sigma_labels)) > k, np.nan, 1.0)
            values = [label, *_cells(estimates.sigma[k] * lower, digits)]
            errors = ["", *_errors(estimates.sigma_se[k], digits)]
            if estimates.pi_labels:
                values += [label, *_cells(estimates.pi[k], digits)]
                errors += ["", *_errors(estimates.pi_se[k], digits)]
            rows += [values, errors]
        tables.append(
            text_table(f"Nonlinear Coefficient Estimates {suffix}", header, rows)
        )
        if (np.tril(estimates.sigma, -1) != 0).any():
            tables.append(_squared_table(estimates, suffix, digits))
    shares = estimates.type_shares, estimates.type_shares_se
    vectors = [
        ("Rho", rho_names(estimates), estimates.rho, estimates.rho_se),
        ("Type Share", estimates.type_labels, *shares),
    ]
    if estimates.phi.size == 1:
        vectors.append(("Phi", estimates.phi_labels, estimates.phi, estimates.phi_se))
    elif estimates.phi.size:
        header = ["", *estimates.phi_labels]
        rows = []
        for e, label in enumerate(estimates.phi_labels):
            rows.append([label, *_cells(estimates.phi[e], digits)])
            rows.append(["", *_errors(estimates.phi_se[e], digits)])
        tables.append(text_table(f"Phi Estimates {suffix}", header, rows))
    for name, labels, found, spread in (
        *vectors,
        ("Beta", estimates.beta_labels, estimates.beta, estimates.beta_se),
        ("Gamma", estimates.gamma_labels, estimates.gamma, estimates.gamma_se),
    ):
        if labels:
            cells = [_cells(found[:, 0], digits), _errors(spread[:, 0], digits)]
            tables.append(text_table(f"{name} Estimates {suffix}", labels, cells))
    return tables


def error_description(estimates: GmmEstimates) -> str:
    """Say what kind of standard errors these are."""
    if estimates.se_type == "unadjusted":
        return "Unadjusted SEs"
    if estimates.se_type == "robust":
        return "Robust SEs"
    ways = estimates.cluster_counts or (estimates.n_clusters,)
    text = f"Robust SEs Adjusted for {' and '.join(map(str, ways))} Clusters"
    if estimates.se_type == "clustered_psd":
        text += ", Negative Eigenvalues Set to Zero,"
    return text


def step_name(estimates: GmmEstimates) -> str:
    """Name a step: its number, and how weights came about where that is not usual."""
    named = {"iterated": f"{estimates.step} (iterated)", "cue": "CUE"}
    return named.get(estimates.estimator, str(estimates.step))


def html_table(estimates: GmmEstimates) -> str:
    """Write the parameters as an HTML table."""
    import html

    body = "".join(
        f"<tr><td>{html.escape(row.matrix)}</td><td>{html.escape(row.row)}</td>"
        f"<td>{html.escape(row.column)}</td><td>{row.estimate:.6g}</td>"
        f"<td>{'' if np.isnan(row.std_error) else f'{row.std_error:.6g}'}</td></tr>"
        for row in parameter_rows(estimates)
    )
    caption = (
        f"GMM step {step_name(estimates)}: objective {estimates.objective:.8g}, "
        f"{'converged' if estimates.converged else 'not converged'}, "
        f"{estimates.n_products} products in {estimates.n_markets} markets"
    )
    return (
        f"<table><caption>{caption}</caption><thead><tr><th>matrix</th><th>row</th>"
        f"<th>column</th><th>estimate</th><th>{error_description(estimates)}</th></tr>"
        f"</thead><tbody>{body}</tbody></table>"
    )


def latex_table(estimates: GmmEstimates) -> str:
    """Write the parameters as a LaTeX tabular."""
    lines = [r"\begin{tabular}{lllrr}", r"\hline"]
    lines.append(r"matrix & row & column & estimate & std. error \\ \hline")
    for row in parameter_rows(estimates):
        error = "" if np.isnan(row.std_error) else f"{row.std_error:.6g}"
        cells = [row.matrix, escape_latex(row.row), escape_latex(row.column)]
        lines.append(" & ".join([*cells, f"{row.estimate:.6g}", error]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"])


def _row(
    estimates: GmmEstimates, matrix: str, row: str, column: str, i: int, j: int
) -> ParameterRow:
    estimate = float(getattr(estimates, matrix)[i, j])
    error = float(getattr(estimates, f"{matrix}_se")[i, j])
    low, high = (float(bound[i, j]) for bound in getattr(estimates, f"{matrix}_bounds"))
    kind = "fixed" if low == high else "free"
    return ParameterRow(matrix, row, column, kind, estimate, error)


def _squared_table(estimates: GmmEstimates, suffix: str, digits: int) -> str:
    rows = []
    for k, label in enumerate(estimates.sigma_labels):
        rows.append([label, *_cells(estimates.sigma_squared[k], digits)])
        rows.append(["", *_errors(estimates.sigma_squared_se[k], digits)])
    header = ["Sigma Squared:", *estimates.sigma_labels]
    return text_table(f"Covariances of Random Coefficients {suffix}", header, rows)


def _cells(values: Floats, digits: int) -> list[str]:
    return ["" if np.isnan(v) else format_number(v, digits) for v in values]


def _errors(values: Floats, digits: int) -> list[str]:
    return ["" if np.isnan(v) else f"({format_number(v, digits)})" for v in values]


def _condition(matrix: Floats) -> float:
    return float(np.linalg.cond(matrix)) if np.isfinite(matrix).all() else float("nan")


def escape_latex(text: str) -> str:
    """Escape what LaTeX reads as its own."""
    for character in "&%$#_{}":
        text = text.replace(character, "\\" + character)
    return text
