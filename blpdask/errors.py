"""What can go wrong at the door, said once: found, expected, what to do.

Input is checked before any computation starts, and every fault of one input is
reported in one message. Numerical failure inside a computation is not an
exception but a status (see :mod:`blpdask.status`); an estimator raises a
:class:`NumericalError` at the very end, and only where it was asked to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


class BlpdaskError(Exception):
    """Base of every error that the package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: what was found, what was expected, the remedy."""

    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        """Say the fault in three short lines."""
        return (
            f"found: {self.found}\n"
            f"  expected: {self.expected}\n"
            f"  what to do: {self.remedy}"
        )


class InputError(BlpdaskError, ValueError):
    """The input has one or more faults; ``faults`` holds every one of them."""

    def __init__(self, subject: str, faults: tuple[Fault, ...]) -> None:
        """Join the faults of ``subject`` into one message."""
        self.subject = subject
        self.faults = faults
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        listed = "\n".join(f"- {fault}" for fault in faults)
        super().__init__(f"{subject}: {count}.\n{listed}")

    def __reduce__(self) -> tuple[type, tuple[str, tuple[Fault, ...]]]:
        """Travel between processes with the faults intact."""
        return type(self), (self.subject, self.faults)


class StoreError(BlpdaskError):
    """Something at rest is not what was put there, or is not there."""


class NumericalError(BlpdaskError, ArithmeticError):
    """A computation failed numerically and the caller asked for an exception."""


class DataWarning(UserWarning):
    """The input is usable but looks unusual; the message names what and where."""


class NumericalWarning(UserWarning):
    """A computation ended with a status that a reader of its numbers should know."""


class Faults:
    """Collects the faults of one subject and raises them together.

    Examples
    --------
    >>> faults = Faults("product_data")
    >>> faults.add("no column 'shares'", "a column 'shares'", "add it")
    >>> len(faults)
    1
    >>> faults.check()
    Traceback (most recent call last):
    ...
    blpdask.errors.InputError: product_data: 1 fault.
    - found: no column 'shares'
      expected: a column 'shares'
      what to do: add it
    """

    def __init__(self, subject: str) -> None:
        """Start with no faults of ``subject``."""
        self.subject = subject
        self._faults: list[Fault] = []

    def __len__(self) -> int:
        """Count the faults found so far."""
        return len(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        """Give the faults found so far."""
        return iter(self._faults)

    def add(self, found: str, expected: str, remedy: str) -> None:
        """Add one fault, once."""
        self.add_fault(Fault(found=found, expected=expected, remedy=remedy))

    def extend(self, error: InputError) -> None:
        """Add every fault of an error that was caught."""
        for fault in error.faults:
            self.add_fault(fault)

    def add_fault(self, fault: Fault) -> None:
        """Add a fault that was found elsewhere, once."""
        if fault not in self._faults:
            self._faults.append(fault)

    def check(self) -> None:
        """Raise :class:`InputError` if any fault was found."""
        if self._faults:
            raise InputError(self.subject, tuple(self._faults))
