"""Weights of other programs as "<layer>/<kind>" -> array."""

import re
from pathlib import Path

import numpy as np

from ccpdml.models import safetensors_files, torch_files

_KINDS_OF_BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "mean",
    "running_var": "variance",
}
_KINDS_OF_KERAS = {"moving_mean": "mean", "moving_variance": "variance"}


def read(path):
    """Reads a PyTorch state dict (.pth, .safetensors) or a Keras HDF5 file (.h5).

    Args:
        path: of the file. A state dict may be inside a checkpoint, and its names may share a
            beginning, such as the "module." of a data parallel model.

    Returns:
        Dictionary "<layer>/<kind>" -> array; kinds are kernel and bias of a convolution, gamma,
        beta, mean and variance of batch normalization. Kernels are [height, width, in, out].

    Raises:
        ValueError: if it is neither, or not what it seems to be.
    """
    with open(path, "rb") as file:
        start = file.read(8)
    if start == b"\x89HDF\r\n\x1a\n":
        return of_keras(_read_hdf5(path))
    if Path(path).suffix in (".pth", ".pt", ".pkl", ".bin", ".tar", ".ckpt"):
        return of_torch(torch_files.load(path))
    if Path(path).suffix == ".safetensors":
        return of_torch(safetensors_files.load(path))
    raise ValueError(f"`path` must be a .pth, .safetensors or .h5 file. Received: {path=}")


def of_torch(state_dict):
    """Renames and transposes a state dict.

    Args:
        state_dict: mapping name -> array; "layer1.0.conv1.weight" is layer1_0_conv1's.

    Returns:
        As `read`. What is no weight of a convolution or batch normalization is left out.
    """
    arrays, state_dict = {}, _without_prefix(state_dict)
    for name, array in state_dict.items():
        source, _, kind = str(name).rpartition(".")
        layer = source.replace(".", "_")
        if array.ndim == 2 and array.shape[0] == 1:
            array = array[0]  # The public file has some vectors as [1, n].
        if kind == "weight" and array.ndim == 4:
            arrays[f"{layer}/kernel"] = array.transpose(2, 3, 1, 0)
        elif f"{source}.running_mean" in state_dict and kind in _KINDS_OF_BATCH_NORM:
            arrays[f"{layer}/{_KINDS_OF_BATCH_NORM[kind]}"] = array
        elif kind == "bias":
            arrays[f"{layer}/bias"] = array
    return arrays


def of_keras(weights):
    """Renames the weights of a Keras model: "inception_3a/1x1/kernel:0" is inception_3a_1x1's."""
    arrays = {}
    for name, array in weights.items():
        layer, _, kind = name.split(":")[0].rpartition("/")
        layer = re.sub("[^0-9a-z]+", "_", layer.lower())
        arrays[f"{layer}/{_KINDS_OF_KERAS.get(kind, kind)}"] = array
    return arrays


def _without_prefix(state_dict):
    """The same without a first part that all names share, such as "module."."""
    names = [str(name) for name in state_dict]
    first = names[0].split(".")[0] + "." if names else ""
    if not names or not all(name.startswith(first) for name in names):
        return state_dict
    return _without_prefix({name[len(first) :]: state_dict[name] for name in names})


def _read_hdf5(path):
    """Weights by their Keras names, of a file of weights or of a whole model."""
    import h5py

    weights = {}
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            for layer in root.values():
                for name in layer.attrs.get("weight_names", ()):
                    name = name.decode() if isinstance(name, bytes) else str(name)
                    weights[name] = np.asarray(layer[name][()])
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"`path` is no readable file of Keras weights: {error}. Received: {path=}"
        ) from error
    if not weights:
        raise ValueError(f"`path` holds no weights of a Keras model. Received: {path=}")
    return weights
