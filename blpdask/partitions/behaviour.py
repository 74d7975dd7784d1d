"""What functions and objects are known by in another process: by what they do.

A name does not tell functions apart: ``routine(1e-1)`` and ``routine(1e-13)`` may
return two functions of one name, and a body may be edited. So a function is

    (module, qualified name, code, defaults, attributes, cells of its closure, globals),

where code is instructions, names and constants, other code among them, and globals are
functions, methods of classes and constants that the code reads. An object is its class
and its state as pickle would have it. No address is among these. Of the standard
library, of this package and of those whose versions a recording names, names are
enough.

What a function calls by way of a module (``module.function``) is not followed.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

#: Packages whose functions and classes are known by name.
NAMED = sys.stdlib_module_names | {"blpdask", "numba", "numpy", "pandas", "scipy"}

_CONSTANTS = (
    *(type(None), bool, int, float, complex, str, bytes, tuple, frozenset),
    *(np.ndarray, np.generic, type, functools.partial),
    *(types.FunctionType, types.BuiltinFunctionType, types.ModuleType, np.ufunc),
)
_DESCRIPTIONS = frozenset(
    {"__doc__", "__annotations__", "__firstlineno__", "__static_attributes__"}
)


def parts_of(value: Any) -> tuple[Any, ...]:
    """Take a function, or an object that is no container, apart into what names it.

    Parameters
    ----------
    value
        Function, method, class, code, module or any other object.

    Returns
    -------
    tuple
        Texts, numbers and further values, the same in every process.

    Examples
    --------
    >>> parts_of(len)
    ('object', <class 'builtin_function_or_method'>, None, 'len')
    """
    if isinstance(value, types.FunctionType):
        return _function(value)
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, types.MethodType):
        return ("method", value.__func__, value.__self__)
    if isinstance(value, types.ModuleType):
        return ("module", value.__name__)
    if isinstance(value, types.MappingProxyType):
        return ("mapping", dict(value))
    if isinstance(value, type):
        return _class(value)
    return _object(value)


def is_named(cls: type) -> bool:
    """Whether the name of a class says what its methods do."""
    return _is_named(cls.__module__)


def _is_named(module: object) -> bool:
    return str(module).partition(".")[0] in NAMED


def _function(function: types.FunctionType) -> tuple[Any, ...]:
    """Take a function apart; its code says where it is from, whatever it is called."""
    name = ("function", function.__module__, function.__qualname__)
    attributes = vars(function)
    plain = not (function.__closure__ or attributes or "<" in function.__qualname__)
    if plain and _is_named(function.__globals__.get("__name__")):
        return name
    return (
        *name,
        function.__code__,
        function.__defaults__,
        function.__kwdefaults__,
        attributes,
        tuple(map(_content, function.__closure__ or ())),
        tuple(_globals(function)),
    )


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """Take code apart; neither its file nor its lines are part of it."""
    return (
        "code",
        code.co_code,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        (code.co_freevars, code.co_cellvars, code.co_exceptiontable),
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        code.co_flags,
    )


def _content(cell: types.CellType) -> tuple[Any, ...]:
    """Give what a cell holds, nothing where nothing was assigned yet."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _globals(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """List functions, classes and constants that a function's code reads by name."""
    known = function.__globals__
    code = function.__code__
    # What is assigned to is no constant.
    names = set(_names(code, "LOAD_GLOBAL")) - set(_names(code, "STORE_GLOBAL"))
    for name in sorted(names & known.keys()):
        value = known[name]
        if isinstance(value, type):
            yield name, _class(value, (types.FunctionType, tuple))
        elif isinstance(value, _CONSTANTS):
            yield name, value


def _names(code: types.CodeType, operation: str) -> Iterator[str]:
    """List the names that code, and the code within it, reads or assigns to."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == operation:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant, operation)


def _class(cls: type, kinds: tuple[type, ...] = _CONSTANTS) -> tuple[Any, ...]:
    """Take a class apart: its bases, and its members of some kinds."""
    name = ("class", cls.__module__, cls.__qualname__)
    if is_named(cls):
        return name
    members = [
        (key, _member(member))
        for key, member in sorted(vars(cls).items())
        if key not in _DESCRIPTIONS
    ]
    return (*name, cls.__bases__, *(m for m in members if isinstance(m[1], kinds)))


def _member(member: Any) -> Any:
    """Give the functions that a method or a property of a class calls."""
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    if isinstance(member, property):
        return (member.fget, member.fset, member.fdel)
    return getattr(member, "func", member)


def _object(value: Any) -> tuple[Any, ...]:
    """Take an object apart: its class, what it wraps, its state."""
    kind, wrapped = type(value), getattr(value, "__wrapped__", None)
    compiled = getattr(value, "py_func", None)
    if compiled is not None:  # Numba's; its state has names drawn at random
        return ("object", kind, compiled, str(getattr(value, "targetoptions", "")))
    try:
        state = value.__reduce_ex__(4)
    except Exception:  # of a kind that cannot be pickled, such as a lock
        return ("object", kind, wrapped, dict(getattr(value, "__dict__", {})))
    if isinstance(state, str):
        return ("object", kind, wrapped, state)
    made_by, arguments, *rest = state
    # Entries of lists and dictionaries come as iterators.
    rest = [list(r) if isinstance(r, Iterator) else r for r in rest]
    return ("object", kind, wrapped, made_by, arguments, *rest)
