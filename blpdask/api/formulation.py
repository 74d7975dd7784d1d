"""How a user says which columns a matrix has and which fixed effects are absorbed.

The class is PyBLP's ``Formulation`` (Conlon and Gortmaker 2020) with the same
arguments; the reading of formulas is :mod:`blpdask.problem.formulas`, the projection
off fixed effects :mod:`blpdask.problem.absorption`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import Faults, InputError
from ..problem.absorption import absorb as absorb_effects
from ..problem.absorption_options import AbsorptionControls, read_absorption_options
from ..problem.formula_data import Table
from ..problem.formulas import ParsedFormula, parse
from ..records import Floats

__all__ = ["Formulation", "build_matrix"]


@dataclass(frozen=True, slots=True)
class Formulation:
    """Which columns a matrix has, and which fixed effects are absorbed into it.

    Parameters
    ----------
    formula
        R-style formula. Operators on terms: ``+``, ``-``, ``*`` (``a * b`` is
        ``a + b + a:b``), ``/`` (``a / b`` is ``a + a:b``), ``:`` (interaction) and
        ``**`` (interactions up to a degree). Functions: ``C`` marks a variable as
        categorical, ``I`` encloses arithmetic (``+ - * / **``), and ``log`` and
        ``exp`` are what they say. Variables that are not numeric are categorical.
        There is an intercept unless ``0`` or ``-1`` removes it.
    absorb
        R-style formula of categorical variables to absorb as fixed effects, such as
        ``C(product_ids) + C(city):C(quarter)``. The intercept then goes.
    absorb_method
        None, or the name of a method of PyHDFE, for scripts written for PyBLP. All
        compute the same projection; one algorithm computes it here.
    absorb_options
        Options: ``tol`` bounds the relative error of the projection (1e-12) and
        ``iteration_limit`` the steps allowed. PyHDFE's others are accepted.

    Raises
    ------
    InputError
        If anything is not as said; all faults are reported together.

    Examples
    --------
    >>> print(Formulation("1 + prices * sugar"))
    1 + prices + sugar + prices:sugar
    >>> print(Formulation("0 + prices", absorb="C(product_ids)"))
    prices + Absorb[C(product_ids)]
    """

    formula: str
    absorb: str | None = None
    absorb_method: str | None = None
    absorb_options: Mapping[str, Any] | None = field(default=None, hash=False)
    parsed: ParsedFormula = field(init=False, repr=False, compare=False)
    controls: AbsorptionControls = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the formulas and options, all faults together."""
        faults = Faults("Formulation")
        parsed = ParsedFormula((), ())
        controls = AbsorptionControls()
        try:
            _check_text(self.formula, self.absorb)
            parsed = parse(self.formula, self.absorb)
        except InputError as error:
            faults.extend(error)
        try:
            controls = read_absorption_options(
                self.absorb_method, self.absorb_options, len(parsed.absorbed)
            )
        except InputError as error:
            faults.extend(error)
        faults.check()
        # A frozen record fills what it derives from its fields only here.
        object.__setattr__(self, "parsed", parsed)
        object.__setattr__(self, "controls", controls)

    def __str__(self) -> str:
        """Write the terms as a formula."""
        terms = [term.label for term in self.parsed.terms]
        absorbed = [f"Absorb[{term.label}]" for term in self.parsed.absorbed]
        return " + ".join(terms + absorbed)


def build_matrix(formulation: Formulation, data: Table) -> Floats:
    """Build the matrix that a formulation describes, fixed effects absorbed.

    Parameters
    ----------
    formulation
        Which columns, and which fixed effects to absorb.
    data
        DataFrame, mapping from names to arrays, or structured array.

    Returns
    -------
    Floats
        ``(N, K)`` matrix.

    Raises
    ------
    InputError
        If data lack variables or columns have values that are not finite.

    Examples
    --------
    >>> data = {"prices": [1.0, 2.0, 4.0], "city": ["a", "a", "b"]}
    >>> build_matrix(Formulation("prices + C(city)"), data)
    array([[1., 1., 0.],
           [1., 2., 0.],
           [1., 4., 1.]])
    >>> build_matrix(Formulation("prices", absorb="C(city)"), data)
    array([[-0.5],
           [ 0.5],
           [ 0. ]])
    """
    if not isinstance(formulation, Formulation):
        faults = Faults("build_matrix")
        faults.add(
            f"a formulation of type {type(formulation).__name__}",
            "a Formulation",
            "wrap the formula: Formulation('1 + prices')",
        )
        faults.check()
    parsed = formulation.parsed
    values = parsed.build(data).values
    if not parsed.absorbed:
        return values
    return absorb_effects(
        values,
        parsed.groups(data),
        tolerance=formulation.controls.tolerance,
        max_iterations=formulation.controls.max_iterations,
    ).values


def _check_text(formula: Any, absorb: Any) -> None:
    """Check that formulas are text."""
    faults = Faults("Formulation")
    for name, value in (("formula", formula), ("absorb", absorb)):
        if not isinstance(value, str) and (name == "formula" or value is not None):
            faults.add(f"{name} {value!r}", "a string", "quote the formula")
    faults.check()
