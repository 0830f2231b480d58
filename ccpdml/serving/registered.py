"""Registered names that files may use: a table of views, and one of preprocessing functions.

A file is data. It chooses from what is registered here, by this library and by modules that the
program imported itself; nothing is imported or called because a file names it.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

from ccpdml import models
from ccpdml.data import views

Preprocessing = Callable[[tf.Tensor], tf.Tensor]
Function = TypeVar("Function", bound=Preprocessing)
ViewClass = TypeVar("ViewClass", bound=type)
LARGEST_SIDE = 16384  # Pixels of an image or of what it is resized to.


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A number that a file may set.

    Args:
        type: int, float or bool; a number written as 1 is a float as well.
        lowest, highest: range of the number, both included; not for bool.
        or_pair: whether two such numbers may stand for it.
    """

    type: type
    lowest: float = 0
    highest: float = 1
    or_pair: bool = False

    def __str__(self):
        one = "bool" if self.type is bool else f"{self.type.__name__} in {self._range}"
        return f"{one}, or two" if self.or_pair else one

    @property
    def _range(self):
        return f"{self.lowest}..{self.highest}"

    def allows(self, value: object) -> bool:
        """Tells whether a value out of a file is of the type and in the range."""
        if self.or_pair and isinstance(value, (list, tuple)):
            return len(value) == 2 and all(
                map(dataclasses.replace(self, or_pair=False).allows, value)
            )
        types = (int, float) if self.type is float else (self.type,)
        if type(value) not in types or not isinstance(value, (int, float)):
            return False
        return self.lowest <= value <= self.highest


@dataclasses.dataclass(frozen=True)
class RegisteredView:
    """A class of views that files may name.

    Attributes:
        name: what files call it.
        make: the class.
        parameters: `Parameter` by the name of the argument and attribute.
        numbers: function of a view that says in numbers what it does, or None.
    """

    name: str
    make: type
    parameters: dict[str, Parameter]
    numbers: Callable[[Any], dict[str, Any]] | None = None


_VIEWS: dict[str, RegisteredView] = {}
_PREPROCESSING: dict[str, Preprocessing] = {}
# What files of before the table call the same things: where these stand.
_FORMER_NAMES = {
    "ccpdml.data.views:CenterCrop": "CenterCrop",
    "ccpdml.data.views:Resize": "Resize",
    "ccpdml.models.inputs:keep_range": "keep_range",
    "ccpdml.models.inputs:scale_to_unit_range": "scale_to_unit_range",
    "ccpdml.models.inputs:standardize": "standardize",
    "ccpdml.models.inputs:subtract_mean_bgr": "subtract_mean_bgr",
}


def register_view(
    name: str,
    numbers: Callable[[Any], dict[str, Any]] | None = None,
    **parameters: Parameter,
) -> Callable[[ViewClass], ViewClass]:
    """Class decorator: lets `encoder.json` name a view of yours.

    The module that it stands in has to be imported by whoever loads the encoder.

    Args:
        name: what files call it.
        numbers: function of a view that gives a dict ready for JSON, which says in numbers what
            the view does, for readers without Python; None says nothing.
        parameters: `Parameter` of every argument of the class, which it keeps as an attribute.

    Raises:
        ValueError: if the name is another class's already.
    """

    def register(cls):
        _claim(name, cls, _VIEWS[name].make if name in _VIEWS else None)
        _VIEWS[name] = RegisteredView(name, cls, parameters, numbers)
        return cls

    return register


def register_preprocessing(name: str) -> Callable[[Function], Function]:
    """Function decorator: lets `encoder.json` name preprocessing of yours.

    The function makes the input of a network, float [n, height, width, channels], of uint8 images.

    Args:
        name: what files call it.

    Raises:
        ValueError: if the name is another function's already.
    """

    def register(function):
        _claim(name, function, _PREPROCESSING.get(name))
        _PREPROCESSING[name] = function
        return function

    return register


def view(described: dict[str, Any]) -> views.FixedView:
    """Builds the view that a file describes.

    Args:
        described: `name` of a registered view, and its parameters.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(described, dict):
        raise ValueError(f"A view must be an object with its `name`. Received: {described!r:.80}")
    arguments = dict(described)
    entry = _found(_VIEWS, arguments.pop("name", None), "view")
    for name, value in arguments.items():
        parameter = entry.parameters.get(name)
        if parameter is None or not parameter.allows(value):
            wanted = {key: str(each) for key, each in entry.parameters.items()}
            raise ValueError(
                f"{entry.name} takes {wanted or 'no parameters'}. Received: {name!r:.40}: "
                f"{value!r:.40}"
            )
    try:
        inspect.signature(entry.make).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{entry.name}: {error}. Received: {arguments}") from error
    return entry.make(**arguments)


def preprocessing(name: str | None) -> Preprocessing:
    """The function that a file names; the identity for None.

    Raises:
        ValueError: if nothing of that name is registered.
    """
    return tf.identity if name is None else _found(_PREPROCESSING, name, "preprocessing")


def entry_of(given: object) -> RegisteredView | None:
    """The entry of a view's class; None if it is not registered."""
    # Gin makes a subclass of the same name of what it builds.
    for entry in _VIEWS.values():
        if isinstance(given, entry.make) and _place(type(given)) == _place(entry.make):
            return entry
    return None


def name_of(function: Preprocessing) -> str | None:
    """The name that files call a preprocessing function by; None if it is not registered."""
    names = [name for name, each in _PREPROCESSING.items() if each is function]
    return names[0] if names else None


def _claim(name, new, old):
    """Refuses a name that is taken, unless by an earlier run of the same definition."""
    if not name or not isinstance(name, str):
        raise ValueError(f"`name` must be a text that is not empty. Received: {name=}")
    if old is not None and _place(new) != _place(old):
        raise ValueError(f"`name` must not be registered already. Received: {name=}")


def _place(thing):
    return thing.__module__, thing.__qualname__


def _found(table, name, kind):
    entry = table.get(_FORMER_NAMES.get(name, name)) if isinstance(name, str) else None
    if entry is None:
        raise ValueError(
            f"Expected a registered {kind}: {', '.join(sorted(table))}. Received: {name!r:.80}. "
            f"One of your own is registered with serving.register_{kind}, in a module that is "
            "imported before the encoder is loaded; a file imports nothing."
        )
    return entry


# How files become pixels before anything else; see `data.decoding`.
_DECODED = {
    "channels": "RGB",
    "range": [0, 255],
    "orientation": "upright, as EXIF says",
    "behind_transparent_pixels": 255,
}


def _numbers_of_center_crop(crop):
    return {
        "decode": _DECODED,
        "resize": {
            "shorter_side": crop.short_side,
            "longer_side": f"floor(longer side * {crop.short_side} / shorter side)",
            "interpolation": "bilinear, pixel centers at halves",
            "antialias": False,
        },
        "crop": {
            "height": crop.height,
            "width": crop.width,
            "top": f"(height - {crop.height}) / 2, rounded toward 0",
            "left": f"(width - {crop.width}) / 2, rounded toward 0",
            "outside_of_the_image": 0,
        },
        "round": "half to even, to uint8",
    }


def _numbers_of_resize(resize):
    return {
        "decode": _DECODED,
        "gray": {"weights": [0.2989, 0.587, 0.114]} if resize.channels == 1 else None,
        "resize": {
            "height": resize.height,
            "width": resize.width,
            "interpolation": "bilinear, pixel centers at halves",
            "antialias": True,
        },
        "round": "half to even, to uint8",
    }


_SIDE = Parameter(int, 1, LARGEST_SIDE)
_SIDES = dataclasses.replace(_SIDE, or_pair=True)
register_view("CenterCrop", _numbers_of_center_crop, size=_SIDES, short_side=_SIDE)(
    views.CenterCrop
)
register_view(
    "Resize", _numbers_of_resize, height=_SIDE, width=_SIDE, channels=Parameter(int, 1, 3)
)(views.Resize)
for _function in (
    models.scale_to_unit_range,
    models.subtract_mean_bgr,
    models.standardize,
    models.keep_range,
):
    register_preprocessing(_function.__name__)(_function)
