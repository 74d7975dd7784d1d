"""A simulation in print: its dimensions, formulations and true values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.parameters import Parameters
from ..records import Floats
from ..results.text_tables import format_number, text_table
from .structured_tables import dimensions_text

if TYPE_CHECKING:
    from .simulation import Simulation


def simulation_text(simulation: Simulation, parameters: Parameters) -> str:
    """Print a simulation's dimensions, formulations and true values.

    Parameters
    ----------
    simulation
        What is printed.
    parameters
        Its true values, with their labels.
    """
    true = parameters.start
    tables = [dimensions_text(simulation)]
    if true.sigma.size:
        tables.append(_matrix("True Σ", parameters.sigma_labels, true.sigma))
    if true.pi.size:
        labels = parameters.sigma_labels, parameters.pi_labels
        tables.append(_matrix("True Π", labels[0], true.pi, labels[1]))
    if true.phi.size:
        tables.append(_matrix("True φ", parameters.phi_labels, true.phi))
    for name, values, labels_of in (
        ("True ρ", true.rho, _nests(parameters)),
        ("True β", true.beta, parameters.beta_labels),
        ("True γ", true.gamma, parameters.gamma_labels),
    ):
        if values.size:
            row = [format_number(value) for value in values[:, 0]]
            tables.append(text_table(name, list(labels_of), [row]))
    return "\n\n".join(tables)


def _nests(parameters: Parameters) -> tuple[str, ...]:
    """Name the entries of ρ: one for all nests, or one each."""
    one = parameters.start.rho.size == 1
    return ("All Groups",) if one else parameters.rho_labels


def _matrix(
    title: str,
    rows: tuple[str, ...],
    values: Floats,
    columns: tuple[str, ...] | None = None,
) -> str:
    """Print a matrix whose rows have names, and its columns the same where None."""
    lines = [
        [label, *map(format_number, row)]
        for label, row in zip(rows, values, strict=True)
    ]
    return text_table(title, ["", *(columns or rows)], lines)
