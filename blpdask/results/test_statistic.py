"""A test statistic that is a number, and knows its distribution.

PyBLP's tests return floats. A :class:`TestStatistic` is one, to a script that compares
or formats it, and carries its degrees of freedom and its p-value

    p = P(χ²_Q > x)      or, with R degrees in the denominator,      p = P(F_{Q,R} > x).
"""

from __future__ import annotations

from typing import Any, NoReturn


class TestStatistic(float):
    """A statistic with its degrees of freedom and p-value.

    Parameters
    ----------
    value
        The statistic.
    dof
        Q, its degrees of freedom under the null hypothesis.
    name
        Of the test.
    dof_denominator
        R of an F statistic; None for χ².

    Examples
    --------
    >>> statistic = TestStatistic(3.841458820694124, 1, name="Wald")
    >>> statistic
    Wald = 3.841459, χ²(1), p = 0.05
    >>> statistic > 3.8, f"{statistic:.1f}", round(statistic.p_value, 12)
    (True, '3.8', 0.05)
    """

    __slots__ = ("dof", "dof_denominator", "name")
    __test__ = False

    dof: int
    dof_denominator: int | None
    name: str

    def __new__(
        cls,
        value: float,
        dof: int,
        name: str = "statistic",
        dof_denominator: int | None = None,
    ) -> TestStatistic:
        """Make the number and keep what it is compared with."""
        self = super().__new__(cls, value)
        object.__setattr__(self, "dof", int(dof))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "dof_denominator", dof_denominator)
        return self

    @property
    def statistic(self) -> float:
        """The plain number."""
        return float(self)

    @property
    def degrees(self) -> int:
        """The degrees of freedom, ``dof``."""
        return self.dof

    @property
    def p_value(self) -> float:
        """Probability of a larger statistic under the null; NaN without degrees."""
        if self.dof <= 0 or (self.dof_denominator or 1) <= 0:
            return float("nan")
        from scipy.special import chdtrc, fdtrc

        value = max(float(self), 0.0)
        if self.dof_denominator is None:
            return float(chdtrc(self.dof, value))
        return float(fdtrc(self.dof, self.dof_denominator, value))

    @property
    def distribution(self) -> str:
        """The distribution under the null, such as ``χ²(3)``."""
        if self.dof_denominator is None:
            return f"χ²({self.dof})"
        return f"F({self.dof}, {self.dof_denominator})"

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        """Refuse: a statistic does not change."""
        raise AttributeError(f"a TestStatistic is frozen: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: a statistic does not change."""
        raise AttributeError(f"a TestStatistic is frozen: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes whole."""
        return type(self), (float(self), self.dof, self.name, self.dof_denominator)

    def __repr__(self) -> str:
        """Say the statistic, its distribution and p-value."""
        p = self.p_value
        return f"{self.name} = {float(self):.7g}, {self.distribution}, p = {p:.4g}"

    def _repr_html_(self) -> str:
        """Show them as a table in a notebook."""
        import html

        header = ("Test", "Statistic", "Distribution", "p-value")
        cells = (
            html.escape(self.name),
            f"{float(self):.7g}",
            self.distribution,
            f"{self.p_value:.4g}",
        )
        return (
            f"<table><thead><tr>{''.join(f'<th>{c}</th>' for c in header)}</tr></thead>"
            f"<tbody><tr>{''.join(f'<td>{c}</td>' for c in cells)}</tr></tbody></table>"
        )
