"""How far the moments tell the parameters apart.

With W = L L' and G = ∂ḡ/∂ψ', ψ all estimated parameters, ψ̂ - ψ ≈ -(L'G)⁺ L'ḡ: the
columns of L'G are all that the moments say of ψ. Scaled to unit length, so that units
of parameters do not matter, they make a matrix K whose

    singular values      lie in [0, √(P + C)], all one where columns are orthogonal; the
                         least is zero where some parameters are not identified,
    condition number     is their ratio,
    weakest direction    is the combination of (scaled) parameters that the moments say
                         least about,
    variance inflation   [(K'K)⁻¹]_pp = 1 / (1 - R²_p), R²_p of column p on the others,
                         is by how much more uncertain a parameter is than if all others
                         were known (where W is efficient).

Full rank of G is what local identification asks for (Rothenberg 1971; Hansen 1982).
Collinear columns are how differentiated-products models fail it: instruments that move
all tastes alike (Gandhi and Houde 2019). The numbers describe K; they are no test.

References
----------
Rothenberg (1971), "Identification in Parametric Models"; Belsley, Kuh and Welsch
(1980), "Regression Diagnostics", chapter 3 (condition numbers above 30 deserve a look);
Gandhi and Houde (2019), "Measuring Substitution Patterns in Differentiated-Products
Industries".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BlpdaskError
from ..moments.weighting import square_root
from ..records import Floats
from .estimates import GmmEstimates
from .parameter_places import parameter_places
from .text_tables import Header, format_number, text_table


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """What the moments say of the parameters at the estimates.

    Attributes
    ----------
    labels
        Names of the P + C parameters.
    singular_values
        ``(P + C,)`` of K, largest first.
    weakest_direction
        ``(P + C,)`` of unit length, in scaled parameters.
    variance_inflation
        ``(P + C,)``, infinite for parameters that are not identified.
    rank
        Of K, to working precision.
    """

    labels: tuple[str, ...]
    singular_values: Floats
    weakest_direction: Floats
    variance_inflation: Floats
    rank: int

    @property
    def condition_number(self) -> float:
        """Largest over smallest singular value; infinite where not identified."""
        if self.rank < len(self.labels):
            return float("inf")
        return float(self.singular_values[0] / self.singular_values[-1])

    def __str__(self) -> str:
        """Print the singular values and the parameters."""
        header: list[Header] = ["Rank", ("Smallest", "Value"), ("Condition", "Number")]
        values = [
            f"{self.rank} of {len(self.labels)}",
            format_number(self.singular_values[-1]),
            format_number(self.condition_number),
        ]
        rows = [
            [label, format_number(inflation), format_number(direction)]
            for label, inflation, direction in zip(
                self.labels,
                self.variance_inflation,
                self.weakest_direction,
                strict=True,
            )
        ]
        columns: list[Header] = [
            "Parameter",
            ("Variance", "Inflation"),
            ("Weakest", "Direction"),
        ]
        return "\n\n".join(
            [
                text_table(
                    "Jacobian of Moments, Weighted and Scaled", header, [values]
                ),
                text_table("Identification of Parameters", columns, rows),
            ]
        )

    __repr__ = __str__


def identification(estimates: GmmEstimates) -> Identification:
    """Decompose the weighted and scaled Jacobian of the moments.

    Raises
    ------
    BlpdaskError
        Where there is no parameter, or the Jacobian is not finite.
    """
    G = estimates.moments_jacobian
    if G.size == 0 or not np.isfinite(G).all() or not np.isfinite(estimates.W).all():
        raise BlpdaskError(
            f"found: a Jacobian of moments of shape {G.shape}, or a weighting matrix, "
            "that is empty or not finite\n  expected: estimates with parameters, where "
            "all shares were inverted\n  what to do: see the warnings of the results"
        )
    columns = square_root(estimates.W).T @ G
    lengths = np.linalg.norm(columns, axis=0)
    K = columns / np.where(lengths > 0, lengths, 1.0)
    _, sizes, directions = np.linalg.svd(K, full_matrices=True)
    size = G.shape[1]
    sizes = np.r_[sizes, np.zeros(size - sizes.size)]
    rank = int((sizes > sizes[0] * max(K.shape) * np.finfo(np.float64).eps).sum())
    kept = np.arange(size) < rank
    with np.errstate(divide="ignore"):
        inverse = np.where(kept, 1.0 / np.where(kept, sizes, 1.0) ** 2, 0.0)
    inflation = (directions.T**2) @ inverse
    hidden = (directions.T**2)[:, ~kept].sum(axis=1) > np.finfo(np.float64).eps
    weakest = directions[-1]
    largest = np.argmax(np.abs(weakest))
    return Identification(
        labels=tuple(place.label for place in parameter_places(estimates)),
        singular_values=sizes,
        weakest_direction=weakest * np.sign(weakest[largest]),
        variance_inflation=np.where(hidden, np.inf, inflation),
        rank=rank,
    )
