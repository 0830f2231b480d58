"""What tells one recipe from another: every value in it, and what its functions are made of."""

import dataclasses
import functools
import hashlib
import inspect
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

_KERAS = (
    tf.keras.layers.Layer,
    tf.keras.optimizers.Optimizer,
    tf.keras.optimizers.schedules.LearningRateSchedule,
)


def of(recipe: Any) -> dict[str, str]:
    """Describes a recipe, equal for equal ones in any process: {"schedule.steps": "100", ...}.

    A class or a function of a module is told by its name, a lambda or a function inside another by
    its code and by what it refers to, a `functools.partial` by its arguments.

    Raises:
        ValueError: at a value that nothing is known to tell apart by.
    """
    return {
        f"{group.name}.{name}": value
        for group in dataclasses.fields(recipe)
        for name, value in _fields(getattr(recipe, group.name), group.name)
    }


def _fields(group, place) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(group):
        yield field.name, told(getattr(group, field.name), f"{place}.{field.name}")


def told(value: Any, place: str) -> str:
    """Describes one value; `place` says where it stands, should it be refused."""
    inner = functools.partial(told, place=place)
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    if isinstance(value, (tuple, list, set, frozenset)):
        parts = [inner(item) for item in value]
        return f"({', '.join(sorted(parts) if isinstance(value, (set, frozenset)) else parts)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {inner(item)}' for key, item in value.items())}}}"
    if isinstance(value, functools.partial):
        return f"{inner(value.func)}{inner(value.args)}{inner(value.keywords)}"
    if isinstance(value, (type, types.FunctionType)):
        return _named(value, place)
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


def _named(function, place):
    """The name of a class or function, with its code where the name alone does not tell it."""
    name = f"{function.__module__}.{function.__qualname__}"
    is_of_module = "<" not in name and function.__module__ != "__main__"
    if is_of_module or not isinstance(function, types.FunctionType):
        return name
    names = inspect.getclosurevars(function)
    inner = functools.partial(told, place=place)
    captured = {**names.nonlocals, "defaults": function.__defaults__}
    captured |= {k: v for k, v in names.globals.items() if not isinstance(v, types.ModuleType)}
    captured.pop(function.__name__, None)  # One that calls itself.
    return f"{name} {_digest(_code(function.__code__))}{inner(captured)}"


def _without_names(config):
    """What Keras says of an object, without the names that it counts up: `triplet_loss_1`, ..."""
    if isinstance(config, dict):
        return {key: _without_names(value) for key, value in config.items() if key != "name"}
    return [_without_names(each) for each in config] if isinstance(config, list) else config


def _code(code):
    """The instructions and constants of a function, and of those inside it."""
    constants = [_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code, constants, code.co_names)).encode()


def _digest(content):
    return hashlib.sha256(content).hexdigest()[:16]
