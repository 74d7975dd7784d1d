"""Say how an objective is minimised: the public optimisation configuration.

Keywords are checked here, all at once, and become an
:class:`blpdask.estimators.optimizers.choose.OptimizerChoice`, which does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Faults
from ..estimators.optimizers.choose import OptimizerChoice, check_choice

_DESCRIPTIONS = {
    "structured": "structured quasi-Newton least squares",
    "nl2sol": "structured quasi-Newton least squares",
    "l-bfgs-b": "the L-BFGS-B algorithm implemented in SciPy",
    "tnc": "the truncated Newton algorithm implemented in SciPy",
    "slsqp": "Sequential Least SQuares Programming implemented in SciPy",
    "trust-constr": "the trust-region routine implemented in SciPy",
    "cg": "the conjugate gradient algorithm implemented in SciPy",
    "bfgs": "the BFGS algorithm implemented in SciPy",
    "newton-cg": "the Newton-CG algorithm implemented in SciPy",
    "nelder-mead": "the Nelder-Mead algorithm implemented in SciPy",
    "powell": "the modified Powell algorithm implemented in SciPy",
    "return": "a trivial routine that returns the initial parameters",
}


class Optimization:
    """How to minimise an objective.

    Parameters
    ----------
    method
        ``"structured"`` (or ``"nl2sol"``): structured quasi-Newton least squares
        (Dennis, Gay and Welsch 1981), made for GMM objectives, which are sums of
        squares; uses gradients and heeds bounds.

        SciPy's methods by name. ``"l-bfgs-b"``, ``"tnc"``, ``"slsqp"`` and
        ``"trust-constr"`` use gradients and heed bounds; ``"cg"``, ``"bfgs"`` and
        ``"newton-cg"`` use gradients and ignore bounds; ``"nelder-mead"`` and
        ``"powell"`` do neither and need ``compute_gradient=False``.

        ``"return"``: take the starting values as the answer.

        A function ``method(initial, bounds, objective_function, iteration_callback,
        **options) -> (final, converged)``: ``initial`` is an array, ``bounds`` a list
        of pairs, ``iteration_callback()`` is to be called after each major iteration,
        and
        ``objective_function(theta) -> (objective, gradient, progress)``, where
        ``progress``, an :class:`blpdask.OptimizationProgress`, holds ``theta``,
        ``objective``, ``gradient``, ``residual``, ``residual_jacobian`` and, computed
        when asked for, ``xi``, ``delta`` and whatever else results have. It counts as
        heeding bounds.
    method_options
        Options of the method. Those of SciPy's methods are SciPy's, and
        ``keep_feasible``. Those of a function are passed by keyword. Those of
        ``"structured"`` are ``gtol`` (1e-8, on the largest element of the objective's
        projected gradient), ``ftol`` (1e-14, on the predicted fall of the objective,
        relative to it), ``xtol`` (1e-15, on steps), ``noise`` (1e-13, the objective's
        relative rounding error), ``max_iterations`` (1000) and ``initial_radius`` (100,
        in multiples of the scaled length of the starting values).
    compute_gradient
        Whether the method is given analytic gradients; without them those of SciPy's
        methods that want gradients difference objectives.
    universal_display
        If False, SciPy's methods print progress of their own.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> Optimization("bfgs", {"gtol": 1e-4})
    Configured to optimize using the BFGS algorithm implemented in SciPy with analytic \
gradients and options {gtol: 0.0001}.
    """

    __slots__ = ("choice", "universal_display")

    choice: OptimizerChoice
    universal_display: bool

    def __init__(
        self,
        method: str | Callable[..., Any] = "structured",
        method_options: Mapping[str, Any] | None = None,
        compute_gradient: bool = True,
        universal_display: bool = True,
    ) -> None:
        """Check every argument."""
        faults = Faults("Optimization")
        if not isinstance(method, str) and not callable(method):
            faults.add(
                found=f"method of type {type(method).__name__}",
                expected="a name or a function",
                remedy="pass a name such as 'structured'",
            )
        if method_options is not None and not isinstance(method_options, Mapping):
            faults.add(
                found=f"method_options of type {type(method_options).__name__}",
                expected="a dict of the method's options, or None",
                remedy="pass options such as {'gtol': 1e-8}",
            )
        faults.check()
        settings = dict(method_options or {})
        if not universal_display:
            settings = _display(method) | settings
        self.choice = OptimizerChoice(method, settings, bool(compute_gradient))
        self.universal_display = bool(universal_display)
        check_choice(self.choice, faults)
        faults.check()

    def __str__(self) -> str:
        """Say the configuration in a sentence."""
        choice = self.choice
        name = "a custom method"
        if isinstance(choice.method, str):
            name = _DESCRIPTIONS[choice.method]
        given = "with" if choice.compute_gradient else "without"
        options = ", ".join(f"{key}: {value}" for key, value in choice.settings.items())
        return (
            f"Configured to optimize using {name} {given} analytic gradients and "
            f"options {{{options}}}."
        )

    def __repr__(self) -> str:
        """Say the configuration in a sentence."""
        return str(self)


def _display(method: str | Callable[..., Any]) -> dict[str, Any]:
    """Choose the options that make a SciPy method print its progress.

    L-BFGS-B has none left: SciPy deprecates them.
    """
    if method == "trust-constr":
        return {"disp": True, "verbose": 3}
    if method == "slsqp":
        return {"disp": True, "iprint": 2}
    others = ("tnc", "cg", "bfgs", "newton-cg", "nelder-mead", "powell")
    return {"disp": True} if method in others else {}
