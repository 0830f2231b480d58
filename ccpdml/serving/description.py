"""What an encoder file does not tell: how an image file becomes its input.

It is kept beside `encoder.keras` as `encoder.json`:

    {"view": {"name": "ccpdml.data.views:CenterCrop", "size": 227, "short_side": 256},
     "preprocess": "ccpdml.models.inputs:scale_to_unit_range", ...}

`view` makes uint8 pixels of the bytes of a file, `preprocess` makes the encoder's input of a batch
of pixels (null: they are taken as they are). Names are "module:name" of whatever can be imported.
"""

import importlib
import importlib.metadata
import inspect
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from ccpdml import files
from ccpdml.data import views

FILE_NAME = "encoder.json"


def describe(model, view, preprocess, normalization):
    """Describes how the encoder of a run is to be used.

    Args:
        model: the encoder, a Keras model of preprocessed images.
        view: the evaluation view of the run; see `data.views`.
        preprocess: function of a batch of uint8 images that gives the input of `model`.
        normalization: layer that the model ends in; stated for readers, not read again.

    Returns:
        Dict ready for JSON. What cannot be named, such as a lambda, is the string "unknown".
    """
    return {
        "input_shape": list(model.input_shape[1:]),
        "view": _describe_view(view, model.input_shape[1:]),
        "preprocess": _describe_preprocess(preprocess, model.input_shape[1:]),
        "normalization": type(normalization).__name__,
        "embedding_size": model.output_shape[-1],
        "tensorflow": tf.__version__,
        "keras": importlib.metadata.version(tf.keras.Model.__module__.split(".")[0]),
    }


def write(path: str | Path, description: dict) -> None:
    """Writes a description from `describe` as JSON."""
    files.write_text(path, json.dumps(description, indent=1) + "\n")


def read(encoder_path: str | Path) -> dict:
    """Reads the description beside an encoder file.

    Raises:
        FileNotFoundError: if there is none; shows one to write.
        ValueError: if it is not a description, or does not name view and preprocessing.
    """
    path = Path(encoder_path).with_name(FILE_NAME)
    if not path.is_file():
        example = {"view": {"name": "ccpdml.data.views:CenterCrop", "size": 227, "short_side": 256}}
        example |= {"preprocess": "ccpdml.models.inputs:scale_to_unit_range"}
        raise FileNotFoundError(
            f"Expected {path} beside the encoder: it says how image files become its input. The "
            "command that trained the run writes it, given again; for an encoder of another "
            f"origin, write it: {json.dumps(example)}"
        )
    try:
        description = json.loads(path.read_text())
        missing = {"view", "preprocess"} - description.keys()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path}: expected a JSON object. Received: {error}") from error
    unknown = [name for name in ("view", "preprocess") if description.get(name) == "unknown"]
    if missing or unknown:
        raise ValueError(
            f"{path}: expected `view` and `preprocess` as names that can be imported "
            f"('module:name'). Received: {', '.join([*missing, *unknown])} missing or unknown. "
            "Put the function or class into a module and name it there."
        )
    return description


def view_of(description: dict) -> object:
    """Builds the view that a description names."""
    arguments = dict(description["view"])
    return _imported(arguments.pop("name"))(**arguments)


def preprocess_of(description: dict):
    """The function that a description names; None where there is none."""
    return None if description["preprocess"] is None else _imported(description["preprocess"])


def written_by(description: dict) -> str:
    """The versions that wrote the encoder, as words."""
    return f"this one: Keras {description.get('keras', 'unknown')}"


def _imported(name):
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"The encoder's description names {name!r}, which cannot be imported: {error}. "
            "PYTHONPATH must reach the module it was trained with."
        ) from error


def _describe_view(view, input_shape):
    if not view.reads_files:
        # Trained on pixels in memory; what was done to them then needs no file.
        is_plain = isinstance(view, views.Plain) and input_shape[-1] in (1, 3)
        view = views.Resize(*input_shape) if is_plain else None
    if not hasattr(view, "of_bytes"):
        return "unknown"
    names = inspect.signature(type(view)).parameters
    described = {"name": _name(type(view))} | {name: getattr(view, name) for name in names}
    return described if described["name"] else "unknown"


def _describe_preprocess(preprocess, input_shape):
    if preprocess is tf.identity:
        return None
    # Gin wraps what it hands over; what it binds for it would be lost with the wrapper.
    name = _name(inspect.unwrap(preprocess))
    if name is None:
        return "unknown"
    probe = np.random.default_rng(0).integers(256, size=(2, *input_shape), dtype=np.uint8)
    same = np.array_equal(_imported(name)(probe), preprocess(probe))
    return name if same else "unknown"


def _name(thing):
    """ "module:name" of a class or function, or None if that does not lead back to it."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "<")
    found = getattr(importlib.import_module(module), name, None) if module else None
    return None if found is None else f"{module}:{name}"
