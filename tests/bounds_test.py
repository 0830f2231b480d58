"""Everything that gin can bind declares what it may be, and nothing else gets through."""

import collections.abc
import inspect
import math
import types
import typing
from typing import Annotated

import gin
import pytest
from gin import config as gin_config

from ccpdml import bounds, config, losses, models
from ccpdml.data import views

config.register_keras()
CONFIGURABLES = {
    selector: entry.wrapped
    for selector, entry in gin_config._REGISTRY.items()
    if entry.wrapped.__module__.startswith(("ccpdml", "keras", "tf_keras"))
}
# The program hands these over: no file binds them.
GIVEN = ("input_shape", "labels", "optimizer", "multiplier")


def parameters(function):
    """What can be bound of a class or function: {name: default}."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name not in GIVEN
    }


def parts(annotation):
    """An annotation and those inside it, without what functions take and give."""
    yield annotation
    origin = typing.get_origin(annotation)
    if origin not in (collections.abc.Callable, typing.Literal, Annotated):
        for inner in typing.get_args(annotation):
            yield from parts(inner)
    elif origin is Annotated and typing.get_origin(typing.get_args(annotation)[0]):
        yield from parts(typing.get_args(annotation)[0])


def wrong(annotation):
    """Values that an annotation must not let through."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated and inner[0] in (int, float):
        yield from (math.nan, math.inf, -math.inf, "ten", True)
        yield from (1.5, 2.0) if inner[0] is int else ()
        limits = inner[1]
        edges = (limits.low - 1, limits.high + 1, limits.above, limits.below)
        yield from (inner[0](edge) for edge in edges if math.isfinite(edge))
    elif origin is Annotated:
        yield from ((), *wrong(inner[0]))
    elif origin in (tuple, collections.abc.Sequence):
        length = len(inner) if origin is tuple else 2
        yield from (5, "ten", *((value,) * length for value in wrong(inner[0])))
    elif origin is collections.abc.Mapping:
        yield from (5, "ten", {"name": 5}, {5: max})
    elif origin in (typing.Union, types.UnionType):
        yield from (
            value
            for member in inner
            for value in wrong(member)
            if not any(bounds.fits(value, other) for other in inner if other is not member)
        )
    elif origin is typing.Literal:
        yield from ("nonsense", 1)
    elif annotation is bool:
        yield from ("False", "no", 0, None)
    elif annotation is str:
        yield from (1, True)
    elif isinstance(origin or annotation, type) and annotation is not type(None):
        yield from (5, "ten", {1, 2})


def test_what_a_base_class_declares_holds_too():
    of_anchors = bounds.declared(losses.HierarchicalProxyAnchorLoss)
    assert not bounds.fits(0, of_anchors["proxies_per_class"])
    assert not bounds.fits(5, of_anchors["normalization"])
    assert bounds.declared(dict) == {}


def test_protocols_declare_too():
    assert bounds.spell(models.Backbone) == bounds.spell(collections.abc.Callable)
    assert bounds.fits(models.small_cnn, models.Backbone)
    assert not bounds.fits("small_cnn", models.Backbone)
    assert bounds.fits(views.Plain(), views.View)
    assert not bounds.fits(views.Plain(), views.FixedView)
    assert not bounds.fits(models.small_cnn, views.View)
    # What is made of a class may get its attributes then.
    assert bounds.fits(bounds.Made(views.Plain), views.View)


def test_python_users_are_held_to_the_same():
    with pytest.raises(ValueError, match=r"^`TripletLoss.margin` must be a number of at least 0"):
        losses.TripletLoss(margin=-0.1)
    with pytest.raises(ValueError, match=r"Received: filters=\(\)"):
        models.small_cnn((8, 8, 3), filters=())
    with pytest.raises(TypeError, match=r"small_cnn\(\) got an unexpected .* 'filter'"):
        models.small_cnn((8, 8, 3), filter=(4,))
    assert losses.TripletLoss(0.3).margin == 0.3


@pytest.mark.parametrize("selector", CONFIGURABLES)
def test_every_argument_declares_what_it_may_be(selector):
    declared = config.declared(selector)
    for name, default in parameters(CONFIGURABLES[selector]).items():
        assert name in declared, f"`{selector}.{name}` declares nothing"
        without_range = {int, float} & {
            part for part in parts(declared[name]) if part in (int, float)
        }
        assert not without_range, f"`{selector}.{name}` declares no range"
        if default not in (inspect.Parameter.empty, gin.REQUIRED):
            assert bounds.fits(default, declared[name]), f"`{selector}.{name}` has a wrong default"


@pytest.mark.parametrize("selector", CONFIGURABLES)
def test_what_is_not_declared_is_refused_in_one_line_that_names_it(selector):
    declared = config.declared(selector)
    for name in parameters(CONFIGURABLES[selector]):
        for value in wrong(declared[name]):
            gin.clear_config()
            gin.bind_parameter(f"{selector}.{name}", value)
            with pytest.raises(
                config.ConfigError, match=rf"{name}` must be .* Received: {name}="
            ) as e:
                config.refuse_values()
            assert "\n" not in str(e.value)
