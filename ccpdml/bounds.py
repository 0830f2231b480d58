"""Ranges and types of arguments: annotations declare them, this module alone checks them.

    def __init__(self, num_classes: Count, margin: NonNegative = 0.1, miner: Layer | None = None):

`ccpdml.config` holds all that gin binds against the annotations before a run starts, and `@checked`
does it where a class or function is called from Python.
"""

import collections.abc
import dataclasses
import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])
_MOST_SHOWN = 200  # Characters of a value that is refused.
UNKNOWN = object()
"""A value that is not known yet, such as what a function will return: everything may be it."""


@dataclasses.dataclass(frozen=True)
class Made:
    """An object that is not there yet: an instance of the class `of`."""

    of: type


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included, above `above` and below `below`."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def __contains__(self, number):
        return self.low <= number <= self.high and self.above < number < self.below

    def __str__(self):
        if math.inf not in (-self.low, self.high):
            return f"in {self.low:.10g}..{self.high:.10g}"
        limits = (("of at least", self.low), ("above", self.above))
        limits += (("at most", self.high), ("below", self.below))
        return " and ".join(f"{word} {limit:g}" for word, limit in limits if math.isfinite(limit))


@dataclasses.dataclass(frozen=True)
class Length:
    """Sequences of at least `low` entries."""

    low: int

    def __contains__(self, sequence):
        return len(sequence) >= self.low

    def __str__(self):
        return f"({self.low} or more entries)"


Count = Annotated[int, Range(1)]
Whole = Annotated[int, Range(0)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Real = Annotated[float, Range()]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Rate = Annotated[float, Range(0, below=1)]  # how much of its past a running mean keeps
Cosine = Annotated[float, Range(-1, 1)]


def fits(value: Any, expected: Any) -> bool:
    """Tells whether a value is what an annotation declares.

    Numbers must be finite, integers fit in 64 bits, a bool is no number, and an integer serves as a
    float. Annotations of
    other kinds than those of this library (type variables, text) declare nothing.

    Args:
        value: any object, `UNKNOWN`, or a `Made`.
        expected: a type, a union, an `Annotated`, a `Literal`, ...
    """
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if value is UNKNOWN:
        return True
    if origin is Annotated:
        # The type first: what is no number is in no range.
        return fits(value, arguments[0]) and all(value in limit for limit in arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return isinstance(value, str) and value in arguments
    if origin is tuple and Ellipsis not in arguments:
        same_length = isinstance(value, (list, tuple)) and len(value) == len(arguments)
        return same_length and all(map(fits, value, arguments))
    if origin in (tuple, collections.abc.Sequence):
        return isinstance(value, (list, tuple)) and all(fits(v, arguments[0]) for v in value)
    if origin is collections.abc.Mapping:
        return isinstance(value, dict) and all(
            fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in value.items()
        )
    if expected is bool:
        return isinstance(value, (bool, np.bool_))
    if expected in (int, float):
        kind = numbers.Integral if expected is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool) and _can_be_computed(value)
    expected = type(None) if expected is None else origin or expected
    if expected is Any or not isinstance(expected, type):
        return True
    if not isinstance(value, Made):
        return isinstance(value, expected)
    # What a protocol asks for may be there once the object is.
    return _is_protocol(expected) or issubclass(value.of, expected)


def _is_protocol(expected):
    return Protocol in getattr(expected, "__bases__", ())


def _is_of_a_call(expected):
    """Tells whether a type is a protocol of nothing but how something is called."""
    return (
        _is_protocol(expected)
        and "__call__" in vars(expected)
        and not inspect.get_annotations(expected)
    )


def _can_be_computed(number):
    if isinstance(number, numbers.Integral):
        return -(2**63) <= number < 2**63
    return math.isfinite(number)


def spell(expected: Any) -> str:
    """Spells in words what an annotation declares."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is Annotated:
        return " ".join([spell(arguments[0]), *map(str, arguments[1:])]).strip()
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(spell, arguments))
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple and Ellipsis not in arguments:
        return f"a tuple ({', '.join(map(spell, arguments))})"
    if origin in (tuple, collections.abc.Sequence):
        return f"a tuple whose entries are each {spell(arguments[0])}"
    if origin is collections.abc.Mapping:
        return f"a dict of {spell(arguments[0])} to {spell(arguments[1])} each"
    if origin is collections.abc.Callable or expected is Callable or _is_of_a_call(expected):
        return "a class or function (in gin: @Name)"
    words = {bool: "True or False", int: "an integer", float: "a number", str: "a string"}
    words |= {type(None): "None"}
    return words.get(expected, f"an object (in gin: @Name()) of {expected.__name__}")


def declared(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the arguments of a function, or of what builds a class, by name.

    Those of a class include its bases', which `**kwargs` may reach. Those given as text are left
    out: their names need not be there when the program runs.
    """
    hints: dict[str, Any] = {}
    for maker in reversed(_makers(function)):
        # What a built-in class is made by has no annotations.
        own = inspect.get_annotations(inspect.unwrap(maker)) if callable(maker) else {}
        hints |= {name: hint for name, hint in own.items() if not isinstance(hint, str)}
    return hints


def arguments(function: Callable[..., Any]) -> set[str]:
    """Names of the arguments of a function, or of what builds a class or one of its bases."""
    return {name for maker in _makers(function) for name in inspect.signature(maker).parameters}


def _makers(function):
    if not inspect.isclass(function):
        return [function]
    return [vars(base)["__init__"] for base in function.__mro__ if "__init__" in vars(base)]


def complaint(name: str, value: Any, expected: Any) -> str:
    """One sentence on a value that does not fit; of a long value, how it begins."""
    received = " ".join(repr(value).split())
    if len(received) > _MOST_SHOWN:
        received = f"{received[:_MOST_SHOWN]}..."
    return f"`{name}` must be {spell(expected)}. Received: {name.split('.')[-1]}={received}"


def checked(function: Function) -> Function:
    """Decorator of a function or `__init__` that refuses what its annotations do not declare.

    Raises:
        ValueError: (when called) naming the argument, what was expected and what was received.
    """
    signature, hints = inspect.signature(function), declared(function)
    owner = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def call(*args, **kwargs):
        for name, value in {
            **dict(zip(signature.parameters, args, strict=False)),
            **kwargs,
        }.items():
            if name not in hints or value is signature.parameters[name].default:
                continue
            if not fits(value, hints[name]):
                raise ValueError(complaint(f"{owner}.{name}", value, hints[name]))
        return function(*args, **kwargs)

    # Keras and gin look no further than here.
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]
