"""How a market's inversion and its costs ended, as data.

A kernel never raises and never hides a failure: it writes one of these codes per
market. Codes travel with the sums, are counted there, and an estimator reports
them once, with the markets named.
"""

from __future__ import annotations

from enum import IntEnum


class InversionStatus(IntEnum):
    """How the share inversion of one market ended."""

    CONVERGED = 0
    MAX_EVALUATIONS = 1
    NONFINITE = 2
    INDEFINITE_JACOBIAN = 3

    @property
    def sentence(self) -> str:
        """Say the status in words."""
        return _SENTENCES[self]


_SENTENCES = {
    InversionStatus.CONVERGED: "mean utilities reached the tolerance",
    InversionStatus.MAX_EVALUATIONS: (
        "mean utilities did not reach the tolerance within the allowed evaluations"
    ),
    InversionStatus.NONFINITE: "mean utilities or simulated shares are not finite",
    InversionStatus.INDEFINITE_JACOBIAN: (
        "the share Jacobian is not positive definite (negative integration weights "
        "can cause this); it was inverted by LU instead of Cholesky"
    ),
}


class CostStatus(IntEnum):
    """Whether the marginal costs of one market could be computed."""

    COMPUTED = 0
    NONPOSITIVE = 1
    NONFINITE = 2

    @property
    def sentence(self) -> str:
        """Say the status in words."""
        return _COST_SENTENCES[self]


_COST_SENTENCES = {
    CostStatus.COMPUTED: "marginal costs are finite",
    CostStatus.NONPOSITIVE: (
        "marginal costs are not positive, so that they have no logarithm (costs_bounds "
        "bounds them)"
    ),
    CostStatus.NONFINITE: "first-order conditions of prices cannot be solved",
}


class PriceStatus(IntEnum):
    """How the search for equilibrium prices of one market ended."""

    CONVERGED = 0
    MAX_EVALUATIONS = 1
    NONFINITE = 2

    @property
    def sentence(self) -> str:
        """Say the status in words."""
        return _PRICE_SENTENCES[self]


_PRICE_SENTENCES = {
    PriceStatus.CONVERGED: "gradients of profits reached the tolerance",
    PriceStatus.MAX_EVALUATIONS: (
        "gradients of profits did not reach the tolerance within the allowed "
        "evaluations (demand may not slope down in prices for all agents)"
    ),
    PriceStatus.NONFINITE: (
        "prices, or characteristics and shares at them, are not finite; the prices "
        "before are kept"
    ),
}
