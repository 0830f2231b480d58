"""The public names carry types: `py.typed` promises that to editors and checkers."""

import importlib
import inspect
import typing

import pytest

ROOMS = [
    "cluster",
    "ops",
    "layers",
    "losses",
    "models",
    "data",
    "metrics",
    "training",
    "protocols",
    "serving",
    "runs",
]


def public_callables(module):
    """Functions and constructors behind the `__all__` of a room, by name."""
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.ismodule(thing):
            own = [v for k, v in vars(thing).items() if not k.startswith("_") and callable(v)]
            things = [t for t in own if getattr(t, "__module__", None) == thing.__name__]
        else:
            things = [thing]
        for each in things:
            yield each.__name__, inspect.unwrap(each)


def lacking(function):
    """Arguments without a type, and "return"."""
    is_class = inspect.isclass(function)
    signature = inspect.signature(function.__init__ if is_class else function)
    named = [
        p for p in signature.parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    names = [p.name for p in named if p.annotation is p.empty and p.name != "self"]
    if not is_class and signature.return_annotation is signature.empty:
        names.append("return")
    return names


def methods(function):
    """The public methods of a class, its constructor and what it is called by; or the function."""
    if not inspect.isclass(function):
        return [function]
    own = {name: thing for name, thing in vars(function).items() if inspect.isfunction(thing)}
    return [m for name, m in own.items() if name in ("__init__", "__call__") or name[0] != "_"]


def is_anything(annotation):
    """Whether a type says nothing; of what is kept as JSON that the keys are text is enough."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    is_json = origin is dict and inner == (str, typing.Any)
    if is_json or getattr(origin, "__module__", "").startswith("numpy"):
        return False
    if annotation is typing.Any:
        return True
    return any(is_anything(part) for part in inner if not isinstance(part, (list, str)))


@pytest.mark.parametrize("room", ROOMS)
def test_no_public_signature_takes_or_gives_anything(room):
    module = importlib.import_module(f"ccpdml.{room}")
    for name, function in public_callables(module):
        for method in methods(function):
            for argument, annotation in inspect.get_annotations(inspect.unwrap(method)).items():
                assert not is_anything(annotation), f"{name}: {method.__name__}({argument})"


@pytest.mark.parametrize("room", ROOMS)
def test_public_signatures_are_annotated(room):
    module = importlib.import_module(f"ccpdml.{room}")
    found = {name: lacking(function) for name, function in public_callables(module)}
    assert found
    assert {name: names for name, names in found.items() if names} == {}
