"""Converted weights of backbones: their folder, and how a backbone gets them."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

_SOURCES = {
    "bn_inception": "the public PyTorch state dict bn_inception-52deb4733.pth, which "
    "pretrained-models.pytorch (github.com/Cadene) links to",
    "resnet50_torch": "a ResNet-50 of torchvision (resnet50-11ad3fa6.pth) or of timm "
    "(resnet50.a1_in1k, .safetensors or .pth)",
}
# A layer that only this network has.
_MARKS = {"bn_inception": "conv1_7x7_s2", "resnet50_torch": "layer1_0_conv1"}
WITHOUT = (
    "Without them, --gin_file=gin/backbones/small.gin, given last, trains a small network from "
    "scratch. To train this one from scratch bind its `weights = None`, "
    "`build_encoder.freeze_bn = False` and a learning rate for random weights, about 1e-3."
)
"""What a run can do that cannot get the weights of its backbone."""


def folder():
    """The folder of the weights: `$CCPDML_WEIGHTS`, else ~/.ccpdml/weights."""
    return Path(os.environ.get("CCPDML_WEIGHTS", "~/.ccpdml/weights")).expanduser()


def path_of(name, weights="imagenet"):
    """The file that holds `weights` of the backbone `name`: itself if it is a path."""
    return folder() / f"{name}.npz" if weights == "imagenet" else Path(weights).expanduser()


def read(name, weights):
    """Reads converted weights.

    Args:
        name: of the backbone.
        weights: "imagenet", or the path of a file that `ccpdml import-weights` wrote.

    Returns:
        Dictionary "<layer>/<kind>" -> array.

    Raises:
        FileNotFoundError: if there is no such file, telling how to make it.
        ValueError: if it is no .npz file of arrays.
    """
    path = path_of(name, weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no weights of {name} at {path}. Get {_SOURCES[name]}, and convert it: "
            f"ccpdml import-weights --source=FILE --target={path}. {WITHOUT}"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive.items())
    except (ValueError, OSError, EOFError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected a file that `ccpdml import-weights` wrote. Received: {error}"
        ) from error


def load(model, name, weights):
    """Gives a backbone the weights of a file: `read` and `set_weights`, with their errors."""
    set_weights(model, read(name, weights), path_of(name, weights))


def network_of(arrays):
    """The name of the backbone that weights are of.

    Args:
        arrays: mapping "<layer>/<kind>" -> array.

    Raises:
        ValueError: if they are of none.
    """
    for name, layer in _MARKS.items():
        if f"{layer}/kernel" in arrays:
            return name
    raise ValueError(
        f"Expected the weights of {' or '.join(_MARKS)}. Received: {len(arrays)} arrays, such as "
        f"{', '.join(sorted(arrays)[:3]) or 'none'}"
    )


def set_weights(model, arrays, path="These weights"):
    """Gives a backbone its weights.

    Args:
        model: a Keras model of convolutions and batch normalization.
        arrays: mapping "<layer>/<kind>" -> array; see `layer_arrays` for the kinds.
        path: of the file that they are of, for errors.

    Raises:
        ValueError: if a weight is missing or of another shape, naming it.
    """
    for layer in model.layers:
        for kind, variable in layer_arrays(layer).items():
            value = arrays.get(f"{layer.name}/{kind}")
            if value is None or value.shape != tuple(variable.shape):
                raise ValueError(
                    f"{path}: {model.name} needs {layer.name}/{kind} of shape "
                    f"{tuple(variable.shape)}. Received: {'none' if value is None else value.shape}"
                )
            if value.dtype.kind not in "fiu":
                raise ValueError(
                    f"{path}: {model.name} needs {layer.name}/{kind} in numbers. "
                    f"Received: {value.dtype}"
                )
            variable.assign(np.asarray(value, np.float32))


def layer_arrays(layer):
    """The weights of a convolution or batch normalization by kind; none of any other layer."""
    if isinstance(layer, tf.keras.layers.Conv2D):
        return {"kernel": layer.kernel} | ({"bias": layer.bias} if layer.use_bias else {})
    if isinstance(layer, tf.keras.layers.BatchNormalization):
        return {
            "gamma": layer.gamma,
            "beta": layer.beta,
            "mean": layer.moving_mean,
            "variance": layer.moving_variance,
        }
    return {}
