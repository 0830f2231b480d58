"""The description beside an encoder file: how an image file becomes its input.

It is kept beside `encoder.keras` as `encoder.json`:

    {"view": {"name": "CenterCrop", "size": 227, "short_side": 256},
     "preprocess": "scale_to_unit_range",
     "in_numbers": {...}, ...}

`view` makes uint8 pixels of the bytes of a file, `preprocess` makes the encoder's input of a batch
of pixels (null: they are taken as they are). Both are names in the table of `serving.registered`:
the file is data, and nothing is imported because it says so. `in_numbers` says the same for
programs that do it themselves; it is not read back.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml import compat, files
from ccpdml.data import views
from ccpdml.serving import registered

FILE_NAME = "encoder.json"

# In place of view and preprocessing: what was trained on `data.features` takes no files.
_OF_FEATURES = {"view": "features", "preprocess": None}


def describe(
    model: tf.keras.Model,
    view: views.View,
    preprocess: registered.Preprocessing,
    normalization: tf.keras.layers.Layer | None,
    features_of: str | None = None,
) -> dict[str, Any]:
    """Describes how the encoder of a run is to be used.

    Args:
        model: the encoder, a Keras model of preprocessed images.
        view: the evaluation view of the run; see `data.views`.
        preprocess: function of a batch of uint8 images that gives the input of `model`.
        normalization: layer that the model ends in; stated for readers, not read again.
        features_of: fingerprint of the network whose stored features the encoder takes, if it
            takes such and the network is known.

    Returns:
        Dict ready for JSON. What is not registered, such as a lambda, is the string "unknown".
    """
    input_shape = tuple(model.input_shape[1:])
    of_features = len(input_shape) == 1
    return {
        "input_shape": list(input_shape),
        **(
            _OF_FEATURES | {"features_of": features_of}
            if of_features
            else _of_images(view, preprocess, input_shape)
        ),
        "normalization": type(normalization).__name__,
        "embedding_size": model.output_shape[-1],
        "tensorflow": tf.__version__,
        "keras": compat.keras_version(),
    }


def _of_images(view, preprocess, input_shape):
    """Steps by which image files become the input of an encoder."""
    view, entry = _of_files(view, input_shape)
    return {
        "view": _describe_view(view, entry),
        "preprocess": _describe_preprocess(preprocess, input_shape),
        "in_numbers": in_numbers(view, preprocess, input_shape),
    }


def in_numbers(
    view: views.FixedView, preprocess: registered.Preprocessing, input_shape: tuple[int, ...]
) -> dict[str, Any]:
    """Says in numbers how a file becomes an encoder's input, for programs that do it themselves.

    Args:
        view: a view of files.
        preprocess: function of a batch of uint8 images that gives the input of the encoder.
        input_shape: (height, width, channels) of that.

    Returns:
        Dict ready for JSON: `pixels`, from the file to uint8, and `input`, from there on. "unknown"
        stands for a view that is not registered with its numbers, and for preprocessing that is
        more than an order of channels, a mean and a scale.
    """
    entry = registered.entry_of(view)
    return {
        "pixels": entry.numbers(view) if entry and entry.numbers else "unknown",
        "input": _affine(preprocess, tuple(input_shape)) or "unknown",
    }


def write(path: str | Path, description: dict[str, Any]) -> None:
    """Writes a description from `describe` as JSON."""
    files.write_text(path, json.dumps(description, indent=1) + "\n")


def read(encoder_path: str | Path) -> dict[str, Any]:
    """Reads the description beside an encoder file.

    Raises:
        FileNotFoundError: if there is none; shows one to write.
        ValueError: if it is not a description, or does not name view and preprocessing.
    """
    path = Path(encoder_path).with_name(FILE_NAME)
    description = _load(path)
    missing = {"view", "preprocess"} - description.keys()
    if description.get("view") == _OF_FEATURES["view"]:
        raise ValueError(
            f"{path}: the encoder takes stored features, vectors of {description['input_shape']}, "
            "and no images. `ccpdml export --features=FOLDER --format=keras` makes one encoder of "
            "it and the network that gave the features."
        )
    unknown = [name for name in ("view", "preprocess") if description.get(name) == "unknown"]
    if missing or unknown:
        raise ValueError(
            f"{path}: expected `view` and `preprocess` as registered names. Received: "
            f"{', '.join([*missing, *unknown])} missing or unknown. Register your class or "
            "function (serving.register_view, serving.register_preprocessing) and name it there."
        )
    try:
        view_of(description), preprocess_of(description)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return description


def of_head(encoder_path: str | Path) -> dict[str, Any]:
    """Reads the description of an encoder that takes stored features.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is not a description, or is of an encoder of images.
    """
    path = Path(encoder_path).with_name(FILE_NAME)
    description = _load(path)
    if description.get("view") != _OF_FEATURES["view"]:
        raise ValueError(
            f"{path}: expected an encoder of stored features. Received: one of images, "
            f"{description.get('input_shape')}"
        )
    return description


def view_of(description: dict[str, Any]) -> views.FixedView:
    """Builds the view that a description names.

    Raises:
        ValueError: if it is not registered, or a parameter is none of its own.
    """
    return registered.view(description["view"])


def preprocess_of(description: dict[str, Any]) -> registered.Preprocessing:
    """The function that a description names; the identity where there is none.

    Raises:
        ValueError: if it is not registered.
    """
    return registered.preprocessing(description["preprocess"])


def written_by(description: dict[str, Any]) -> str:
    """The versions that wrote the encoder, as words."""
    return f"this one: Keras {description.get('keras', 'unknown')}"


def _load(path):
    if not path.is_file():
        view = {"name": "CenterCrop", "size": 227, "short_side": 256}
        example = {"view": view, "preprocess": "scale_to_unit_range"}
        raise FileNotFoundError(
            f"Expected {path} beside the encoder: it says how image files become its input. The "
            "command that trained the run writes it again once `results.json` is removed; for an "
            f"encoder of another origin, write it: {json.dumps(example)}"
        )
    try:
        description = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON object. Received: {error}") from error
    if not isinstance(description, dict):
        raise ValueError(f"{path}: expected a JSON object. Received: {description!r:.80}")
    return description


def _of_files(view, input_shape):
    """The view that is to be given files, and its entry in the table; None for what there is not.

    After training on pixels in memory nothing is known of files but the size they must have.
    """
    is_plain = isinstance(view, views.Plain) and input_shape[-1] in (1, 3)
    view = views.Resize(*input_shape) if is_plain else view
    return view, registered.entry_of(view)


def _describe_view(view, entry):
    if entry is None:
        return "unknown"
    return {"name": entry.name} | {name: getattr(view, name) for name in entry.parameters}


def _describe_preprocess(preprocess, input_shape):
    if preprocess is tf.identity:
        return None
    # Gin wraps what it hands over; what it binds for it would be lost with the wrapper.
    name = registered.name_of(inspect.unwrap(preprocess))
    if name is None:
        return "unknown"
    probe = np.random.default_rng(0).integers(256, size=(2, *input_shape), dtype=np.uint8)
    same = np.array_equal(registered.preprocessing(name)(probe), preprocess(probe))
    return name if same else "unknown"


def _affine(preprocess, input_shape):
    """Scale and offset of each channel by preprocessing; None if it does more than that.

    They are found by trying it: on black, on white in one channel, and on noise to see whether
    they say all.
    """
    channels = input_shape[-1]
    probe = np.zeros((channels + 1, *input_shape), np.uint8)
    for channel in range(channels):
        probe[channel, ..., channel] = 255
    noise = np.random.default_rng(0).integers(256, size=(2, *input_shape), dtype=np.uint8)
    found, expected = (np.asarray(preprocess(each), np.float64) for each in (probe, noise))
    if found.shape != probe.shape:
        return None
    black = found[-1, 0, 0]
    steps = found[:-1, 0, 0] - black  # [from channel, to channel]
    order = np.abs(steps).argmax(axis=0)
    scale = steps[order, np.arange(channels)] / 255
    if not (np.isfinite(black).all() and np.isfinite(scale).all() and scale.all()):
        return None
    scale = np.array([float(f"{each:.7g}") for each in scale])
    mean = np.array([float(f"{each:.7g}") for each in -black / scale]) + 0.0
    again = (noise[..., order] - mean) * scale
    if not np.allclose(again, expected, rtol=0, atol=1e-5 * np.abs(255 * scale).max()):
        return None
    names = "RGB" if channels == 3 else "Y" * channels
    return {
        "channel_order": "".join(names[each] for each in order),
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "formula": "(pixels in that order of channels - mean) * scale",
        "layout": ["image", *("height", "width", "channel")[: len(input_shape)]],
        "dtype": "float32",
    }
