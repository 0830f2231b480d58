"""The identity of a recipe: every value in it, and what its functions are made of."""

import dataclasses
import dis
import functools
import hashlib
import inspect
import pathlib
import types
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml import config
from ccpdml.data import loading
from ccpdml.runs.recipe import Recipe

_KERAS = (
    tf.keras.layers.Layer,
    tf.keras.optimizers.Optimizer,
    tf.keras.optimizers.schedules.LearningRateSchedule,
)


# Where a class stood when run directories that may still go on were begun.
_EARLIER = {"ccpdml.training.callbacks.": "ccpdml.training."}


def of(recipe: Recipe) -> dict[str, str]:
    """Describes a recipe, equal for equal ones in any process: {"schedule.steps": "100", ...}.

    A class or a function of a module is told by its name; a lambda, what is defined in a notebook
    or inside a function by its code and by what it refers to; a `functools.partial` by its
    arguments. Of `data.load` those do not count that say where the data lie
    (`config.OF_NO_RUN`): the content of the data is compared.

    Raises:
        ValueError: at a value that nothing is known to tell apart by.
    """
    return {
        f"{group.name}.{name}": value
        for group in dataclasses.fields(recipe)
        for name, value in _fields(getattr(recipe, group.name), group.name)
    }


def defaults() -> dict[str, str]:
    """Describes the defaults: what `of` gives for each value that a recipe may leave out."""
    return {
        f"{name}.{field.name}": told(field.default, f"{name}.{field.name}")
        for name, group in typing.get_type_hints(Recipe).items()
        for field in dataclasses.fields(group)
        if field.default is not dataclasses.MISSING
    }


def _fields(group, place) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(group):
        yield field.name, told(getattr(group, field.name), f"{place}.{field.name}")


def told(value: Any, place: str, inside: tuple[object, ...] = ()) -> str:
    """Describes one value.

    Args:
        value: anything.
        place: where it stands, should it be refused.
        inside: functions and classes that are being told, which may refer to themselves and each
            other.
    """
    inner = functools.partial(told, place=place, inside=inside)
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    if isinstance(value, pathlib.PurePath):
        return repr(str(value))
    if isinstance(value, (tuple, list, set, frozenset)):
        parts = [inner(item) for item in value]
        return f"({', '.join(sorted(parts) if isinstance(value, (set, frozenset)) else parts)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {inner(item)}' for key, item in value.items())}}}"
    if isinstance(value, functools.partial):
        args, keywords = _arguments(value)
        return f"{inner(value.func)}{inner(args)}{inner(keywords)}"
    if isinstance(value, (type, types.FunctionType)):
        return _named(value, place, inside)
    if isinstance(value, types.MethodType):
        return f"{inner(value.__self__)}.{value.__name__}"
    if isinstance(value, (np.ndarray, np.generic, tf.Tensor)):
        array = np.ascontiguousarray(value)
        return f"array {array.shape} {array.dtype} {_digest(array.tobytes())}"
    if dataclasses.is_dataclass(value):
        return f"{_named(type(value), place)}({dict(_fields(value, place))})"
    if isinstance(value, _KERAS):
        return f"{_named(type(value), place)}{inner(_without_names(value.get_config()))}"
    raise ValueError(
        f"A run directory tells runs apart by what they are made of; `{place}` must be, or be made "
        "of, plain values, arrays, classes, functions, and `functools.partial` of these. "
        f"Received: {value!r}"
    )


def _arguments(partial):
    """The arguments of a `functools.partial` that tell it from others."""
    if partial.func is not loading.load:
        return partial.args, partial.keywords
    bound = inspect.signature(loading.load).bind_partial(*partial.args, **partial.keywords)
    given = {**bound.arguments, **bound.arguments.pop("options", {})}
    return (), {name: given[name] for name in sorted(given) if name not in config.OF_NO_RUN}


def _named(value, place, inside=()):
    """The name of a class or function, with its code where the name alone does not tell it."""
    name = f"{value.__module__}.{value.__qualname__}"
    for room, earlier in _EARLIER.items():
        name = name.replace(room, earlier)
    is_of_module = "<" not in name and value.__module__ != "__main__"
    if is_of_module or value in inside:
        return name
    parts = _of_class(value) if isinstance(value, type) else _of_function(value)
    return f"{name} {told(parts, place, (*inside, value))}"


def _of_class(value):
    """Parts of a class: its bases and all that stands in it."""
    is_record = dataclasses.is_dataclass(value)
    parts = {
        name: _function(part)
        for name, part in vars(value).items()
        # Of the dunder names the methods, if they were written and not generated.
        if not name.startswith("__") or isinstance(part, types.FunctionType) and not is_record
    }
    return {"bases": value.__bases__, **parts}


def _function(part):
    """The function or functions in a descriptor; of another one its kind; else the part itself."""
    if isinstance(part, (staticmethod, classmethod)):
        return part.__func__
    if isinstance(part, property):
        return part.fget, part.fset, part.fdel
    if hasattr(type(part), "__get__") and not isinstance(part, types.FunctionType):
        return type(part)
    return part


def _of_function(function):
    """Parts of a function: its code and what that refers to."""
    captured = inspect.getclosurevars(function).nonlocals
    known = {k: v for k, v in _globals(function) if not isinstance(v, types.ModuleType)}
    code = _digest(repr(_code(function.__code__)).encode())
    return {**captured, "defaults": function.__defaults__, **known, "code": code}


def _globals(function):
    """(name, value) of the globals that a function reads, those of functions inside it too."""
    names = {
        instruction.argval
        for code in _codes(function.__code__)
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    known = function.__globals__
    return [(name, known[name]) for name in sorted(names) if name in known]


def _codes(code):
    """The code of a function, and of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _without_names(config):
    """Configuration of a Keras object without names that are counted up: `triplet_loss_1`, ..."""
    if isinstance(config, dict):
        return {key: _without_names(value) for key, value in config.items() if key != "name"}
    return [_without_names(each) for each in config] if isinstance(config, list) else config


def _code(code):
    """The instructions and constants of a function, and of those inside it."""
    return code.co_code, [_constant(constant) for constant in code.co_consts], code.co_names


def _constant(constant):
    if isinstance(constant, types.CodeType):
        return _code(constant)
    if isinstance(constant, frozenset):  # Its order differs from process to process.
        return sorted(repr(_constant(each)) for each in constant)
    if isinstance(constant, tuple):
        return [_constant(each) for each in constant]
    return repr(constant)


def _digest(content):
    return hashlib.sha256(content).hexdigest()[:16]
