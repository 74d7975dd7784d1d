"""How far estimates are biased because each market has only so many draws.

With R simulation draws in every market, the same draws in all evaluations, shares are
simulated with an error of order R^(-1/2) that enters estimates nonlinearly: their bias
is B/R + o(1/R) (Freyberger 2015, Journal of Econometrics 187, theorem 1). Estimates
θ̂_1, …, θ̂_K on disjoint parts of R/K draws each have the bias KB/R, so that

    θ̂_J = (K θ̂ - (1/K) Σ_k θ̂_k) / (K - 1),       θ̂ - θ̂_J = B/R + o(1/R)

leaves the first-order term out; with K = 2 halves, θ̂_J = 2θ̂ - (θ̂_1 + θ̂_2)/2. Weights
W are the same in all of them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..problem.agents import Agents
from ..records import Floats, Integers
from ..results.parameter_places import ParameterMatrices
from ..results.text_tables import Header, format_number, text_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class DrawJackknife:
    """Estimates with the first-order bias of simulation taken out.

    Attributes
    ----------
    labels
        Of the P + C parameters, in the order of ``results.parameters``.
    matrices
        ``(P + C,)`` the matrix that each belongs to: ``"sigma"``, ….
    estimates, standard_errors
        ``(P + C,)`` θ̂, of all R draws.
    parts
        ``(K, P + C)`` θ̂_k.
    converged
        ``(K,)`` whether the minimum of each part was reached.
    n_draws
        Draws of each part, in the market with fewest.
    jackknifed
        θ̂_J as Σ, Π, ρ, β and γ; what is fixed stays.
    """

    labels: tuple[str, ...]
    matrices: tuple[str, ...]
    estimates: Floats
    standard_errors: Floats
    parts: Floats
    converged: tuple[bool, ...]
    n_draws: int
    jackknifed: ParameterMatrices

    @property
    def parameters(self) -> Floats:
        """θ̂_J, ``(P + C,)``."""
        return extrapolate(self.estimates, self.parts)

    @property
    def bias(self) -> Floats:
        """θ̂ - θ̂_J, ``(P + C,)``."""
        return self.estimates - self.parameters

    def to_frame(self) -> pd.DataFrame:
        """List the parameters: estimate, standard error, θ̂_J, bias, and each part."""
        import pandas as pd

        columns = {
            "matrix": self.matrices,
            "parameter": self.labels,
            "estimate": self.estimates,
            "std_error": self.standard_errors,
            "jackknifed": self.parameters,
            "bias": self.bias,
        }
        parts = {f"part_{k}": part for k, part in enumerate(self.parts)}
        return pd.DataFrame(columns | parts)

    def __str__(self) -> str:
        """Print estimates, jackknifed ones and the bias in standard errors."""
        header: list[Header] = ["Parameter", "Estimate", ("Standard", "Error")]
        header += ["Jackknifed", "Bias", ("Bias in", "Standard Errors")]
        errors, bias = self.standard_errors, self.bias
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = bias / errors
        numbers = np.column_stack(
            [self.estimates, errors, self.parameters, bias, ratio]
        )
        rows = [
            [f"{matrix} {label}", *(format_number(float(v), 5) for v in row)]
            for matrix, label, row in zip(
                self.matrices, self.labels, numbers, strict=True
            )
        ]
        text = text_table(
            f"Draw Jackknife ({len(self.parts)} Parts of {self.n_draws} Draws)",
            header,
            rows,
        )
        missed = [str(k) for k, good in enumerate(self.converged) if not good]
        if missed:
            text += f"\n\nWarning: no minimum was reached in parts {', '.join(missed)}."
        return text

    __repr__ = __str__


def extrapolate(estimates: Floats, parts: Floats) -> Floats:
    """Compute (K θ̂ - (1/K) Σ_k θ̂_k) / (K - 1) from ``(P,)`` and ``(K, P)``.

    Examples
    --------
    >>> extrapolate(np.array([1.0]), np.array([[1.1], [1.3]])).round(3).tolist()
    [0.8]
    """
    K = parts.shape[0]
    return np.asarray((K * estimates - parts.mean(axis=0)) / (K - 1))


def part_of_agents(agents: Agents, rows: Integers, n_parts: int) -> Agents:
    """Keep some agents of every market, with weights K times as large.

    Parameters
    ----------
    agents
        Of equal weight in each market.
    rows
        ``(A / K,)`` places of those kept, in order.
    n_parts
        K.
    """
    codes = agents.market_codes[rows]
    counts = np.bincount(codes, minlength=agents.offsets.size - 1)
    some, by_product = agents.availability, agents.product_demographics
    return replace(
        agents,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        nodes=agents.nodes[rows],
        demographics=agents.demographics[rows],
        weights=n_parts * agents.weights[rows],
        market_codes=codes,
        order=np.arange(rows.size),
        availability=None if some is None else some[rows],
        product_demographics=None if by_product is None else by_product[:, rows],
        types=None if agents.types is None else agents.types[rows],
    )


def split_draws(
    offsets: Integers, n_parts: int, rng: np.random.Generator | None
) -> list[Integers]:
    """Split the agents of every market into parts of equal size.

    Parameters
    ----------
    offsets
        ``(T + 1,)`` first agent of each market, then A; all counts multiples of K.
    n_parts
        K.
    rng
        Deals agents out at random; where None, a part is a run of agents as they
        stand, which of a sequence such as Halton's is a sequence again.
    """
    parts: list[list[Integers]] = [[] for _ in range(n_parts)]
    for first, stop in itertools.pairwise(offsets):
        rows = np.arange(first, stop)
        dealt = rows if rng is None else rng.permutation(rows)
        for own, part in zip(np.split(dealt, n_parts), parts, strict=True):
            part.append(np.sort(own))
    return [np.concatenate(part) for part in parts]
