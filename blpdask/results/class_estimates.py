"""Estimates of latent classes, class by class: shares, coefficients, errors, tables.

The share of class q is the average of π_iq over people by their weights,

    π_q = Σ_i w_i π_iq / Σ w,   ∂π_q/∂γ_r = Σ_i w_i π_iq (1{q = r} - π_ir) D_i / Σ w,

with errors by the delta method; people themselves are taken as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.latent_classes import LatentClasses, average_shares, log_class_shares
from ..records import Floats
from .choice_spreads import Spreads, compute_spreads
from .text_tables import Header, format_number, text_table


@dataclass(frozen=True, slots=True, eq=False)
class ClassEstimates:
    """Estimates by class.

    Attributes
    ----------
    labels
        ``(C,)`` names of the parameters of a class.
    shares, shares_se
        ``(Q,)``.
    values, errors
        ``(Q, C)`` parameters; errors of those that are zero by assumption are zero.
    """

    labels: tuple[str, ...]
    shares: Floats
    shares_se: Floats
    values: Floats
    errors: Floats


def class_estimates(
    classes: LatentClasses,
    theta: Floats,
    covariances: Floats,
    *,
    membership: Floats,
    weights: Floats,
) -> ClassEstimates:
    """Read estimates class by class, of people with D ``(I, M)`` and w ``(I,)``."""
    parameters = classes.split(theta)
    pi = np.exp(log_class_shares(parameters.gamma, membership))
    w = weights / weights.sum()
    jacobian = np.zeros((classes.n_classes, classes.size))
    for r, places in enumerate(classes.gamma_places):
        moved = (np.arange(classes.n_classes) == r) - pi[:, [r]]
        jacobian[:, places] = (w[:, None] * pi * moved).T @ membership
    with np.errstate(invalid="ignore"):
        errors = np.append(np.sqrt(np.diag(covariances)), 0.0)
        shares_se = np.sqrt(((jacobian @ covariances) * jacobian).sum(axis=1))
    return ClassEstimates(
        labels=classes.coefficients.parameter_labels,
        shares=average_shares(parameters.gamma, membership, weights),
        shares_se=shares_se,
        values=parameters.own,
        errors=errors[classes.places],
    )


def class_spreads(
    classes: LatentClasses, theta: Floats, covariances: Floats
) -> Spreads:
    """Compute covariances of random coefficients, arrays with an axis of classes."""
    found = []
    for own, places in zip(classes.split(theta).own, classes.places, strict=True):
        jacobian = (places[:, None] == np.arange(theta.size)).astype(np.float64)
        V = jacobian @ covariances @ jacobian.T
        found.append(compute_spreads(classes.coefficients, own, V))
    names = ("sigma", "deviations", "correlations")
    arrays = {
        name: np.stack([getattr(one, name) for one in found])
        for stem in names
        for name in (stem, f"{stem}_se")
    }
    return Spreads(labels=found[0].labels, **arrays)


def classes_table(estimates: ClassEstimates, error: str, digits: int) -> str:
    """Print shares and parameters, a column a class, errors in parentheses."""
    header: list[Header] = ["", *_names(estimates)]
    rows = [["Share", *(format_number(v, digits) for v in estimates.shares)]]
    rows.append(["", *(f"({format_number(v, digits)})" for v in estimates.shares_se)])
    columns = zip(estimates.labels, estimates.values.T, estimates.errors.T, strict=True)
    for label, values, errors in columns:
        rows.append([label, *(format_number(v, digits) for v in values)])
        rows.append(["", *(f"({format_number(v, digits)})" for v in errors)])
    return text_table(f"Classes ({error}s in Parentheses)", header, rows)


def classes_html(estimates: ClassEstimates, caption: str) -> str:
    """Write shares and parameters as an HTML table, a column a class."""
    import html

    def row(label: str, cells: Sequence[str]) -> str:
        inside = "".join(f"<td>{cell}</td>" for cell in cells)
        return f"<tr><td>{html.escape(label)}</td>{inside}</tr>"

    def pairs(values: Floats, errors: Floats) -> list[str]:
        both = zip(values.tolist(), errors.tolist(), strict=True)
        return [f"{value:.6g} ({error:.3g})" for value, error in both]

    body = row("share", pairs(estimates.shares, estimates.shares_se))
    columns = zip(estimates.labels, estimates.values.T, estimates.errors.T, strict=True)
    for label, values, errors in columns:
        body += row(label, pairs(values, errors))
    head = "".join(f"<th>{name}</th>" for name in ["", *_names(estimates)])
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr>"
        f"</thead><tbody>{body}</tbody></table>"
    )


def _names(estimates: ClassEstimates) -> list[str]:
    return [f"Class {q + 1}" for q in range(estimates.shares.size)]
