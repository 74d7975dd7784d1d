"""Methods of results that answer from a store where their data are in one.

Which of the two a method is, is decided when it is looked up, so that what is computed
of data in memory is called as it stands and warnings name the line of who called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from ..problem.stored_problem import StoredProblem
from .demand_methods import DemandMethods
from .economy_methods import EconomyMethods
from .firm_methods import FirmMethods

if TYPE_CHECKING:
    from .results import ProblemResults
    from .stored_answers import StoredAnswers

Class = TypeVar("Class", bound=type)


def answered_from_stores(results: Class) -> Class:
    """Let a class of results answer from a store where its data are in one."""
    for floor in (DemandMethods, FirmMethods, EconomyMethods):
        for name, method in public_methods(floor):
            if name not in vars(results):
                setattr(results, name, FromStore(name, method))
    return results


class FromStore:
    """A method of results, or of what answers for them where data are in a store.

    It is chosen when it is looked up and not when it is called: warnings name the line
    of who called.
    """

    def __init__(self, name: str, method: Callable[..., Any]) -> None:
        """Keep the method of data in memory."""
        self._name, self._method = name, method
        self.__doc__ = method.__doc__

    def __get__(self, results: ProblemResults | None, owner: type) -> Any:
        """Choose the method."""
        if results is None:
            return self._method
        stored = stored_answers(results)
        if stored is not None:
            return getattr(stored, self._name)
        return MethodType(self._method, results)


def stored_answers(results: ProblemResults) -> StoredAnswers | None:
    """Give what answers for results whose data are in a store; None for others."""
    problem = results.problem
    if problem is None or not isinstance(problem.demand, StoredProblem):
        return None
    from .stored_answers import StoredAnswers

    return StoredAnswers(results, problem.demand)


def public_methods(floor: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """List the methods that a class itself defines, under their names."""
    for name, method in list(vars(floor).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            yield name, method
