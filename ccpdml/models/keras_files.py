"""Reads Keras models out of files without running or importing what these name.

Keras's own safe mode refuses code that is written in a file. That of Keras 2 still imports every
module that a file names, and neither looks at files of other kinds. So a file is read here before
Keras sees it.
"""

import importlib
import json
import re
import zipfile
from pathlib import Path

import tensorflow as tf

from ccpdml import compat

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
"""Files of a Keras model, in a .keras file or in a folder."""

# Where Keras keeps what models are made of.
_ROOMS = {"layers", "models", "engine", "ops", "applications", "activations", "initializers"}
_ROOMS |= {"regularizers", "constraints", "dtype_policies", "mixed_precision"}
# Layers that run code, call what a file names, or read other files.
_REFUSED = {"Lambda", "__lambda__", "ClassMethod", "InstanceMethod", "TFSMLayer", "JaxLayer"}
_REFUSED |= {"FlaxLayer", "TorchModuleWrapper", "StringLookup", "IntegerLookup"}
_REFUSED |= {"TextVectorization"}
# Layers of Keras 2 that call a function of TensorFlow, and the functions that only compute.
_CALLERS = {"TFOpLambda", "SlicingOpLambda"}
_COMPUTING = {"math", "nn", "linalg", "__operators__"}
_COMPUTING |= {"cast", "clip_by_value", "concat", "expand_dims", "identity", "norm", "pad"}
_COMPUTING |= {"reshape", "squeeze", "stack", "transpose"}
# Data that Keras writes as objects.
_DATA = {"__keras_tensor__", "__tensor__", "__numpy__", "__tuple__", "__slice__", "__ellipsis__"}
_DATA |= {"__bytes__"}
# Where KerasHub keeps backbones and what they are made of; elsewhere it has tokenizers, for one,
# which read files.
_OF_HUB = re.compile(
    r"keras_hub\.src\.(models\.\w+\.\w+_(backbone|encoder|layers|block)|layers\.modeling\.\w+)"
)


def load(path: str | Path) -> tf.keras.Model:
    """Reads a model that passes `check`.

    Args:
        path: of a `.keras` file, or a `.h5` file of a whole model.

    Returns:
        The Keras model, not compiled.

    Raises:
        ValueError: as of `check`, or as Keras raises it.
    """
    check(path)
    return tf.keras.models.load_model(path, compile=False)


def check(path: str | Path) -> None:
    """Checks that a model is made of Keras's own layers and of registered ones.

    Args:
        path: of a `.keras` file, or a `.h5` file of a whole model.

    Raises:
        ImportError: if it has layers of KerasHub, and that is not installed.
        ValueError: if it is no such file; if it names anything but layers of Keras that only
            compute, those of KerasHub's backbones, and what was registered with
            `tf.keras.utils.register_keras_serializable` by code that the caller imported.
    """
    waiting = [_configuration(Path(path))]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            if "class_name" in found and not _is_harmless(found):
                raise ValueError(
                    f"{path}: expected layers of Keras that only compute, and what was registered "
                    "(tf.keras.utils.register_keras_serializable) by a module that is imported "
                    f"already. Received: {found.get('module')}:{found['class_name']}"
                )
            # What a model was compiled with is not read.
            waiting += [each for name, each in found.items() if name != "compile_config"]


def _configuration(path):
    """The configuration of the model in a file."""
    try:
        if path.is_dir():
            if not (path / WEIGHTS).is_file():
                raise FileNotFoundError(f"There is no {WEIGHTS}.")
            return json.loads((path / CONFIG).read_text(encoding="utf-8"))
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                archive.getinfo(WEIGHTS)  # Without it Keras 2 would read pickles.
                return json.loads(archive.read(CONFIG))
        if path.suffix in (".h5", ".hdf5"):
            import h5py

            with h5py.File(path, "r") as file:
                return json.loads(file.attrs["model_config"])
    except (OSError, KeyError, ValueError, TypeError, RecursionError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected a Keras model. Received: {error}") from error
    raise ValueError(f"Expected a .keras or .h5 file. Received: {path}")


def _is_harmless(found):
    """Tells whether Keras makes an object by the dictionary `found` without harm."""
    name, module, config = found["class_name"], found.get("module"), found.get("config")
    if name == "function":  # Of which the dictionary has the name alone.
        return _is_registered(config) or module == "builtins" or _room(module) == "activations"
    if name in _REFUSED or not isinstance(name, str):
        return False
    if name in _CALLERS:
        function = config.get("function") if isinstance(config, dict) else None
        return str(function).removeprefix("compat.v1.").split(".")[0] in _COMPUTING
    if str(module).partition(".")[0] == "keras_hub":
        return _is_of_hub(module, name, found.get("registered_name"))
    if module is None or name in _DATA:  # Without a module nothing is imported.
        return True
    of_keras = _room(module) in _ROOMS | {""} and name[:1].isupper()
    return of_keras or _is_registered(found.get("registered_name"))


def _is_of_hub(module, name, registered_name):
    """Tells whether a class is a backbone of KerasHub or a part of one; imports KerasHub."""
    if not _OF_HUB.fullmatch(module) or registered_name not in (None, name, f"keras_hub>{name}"):
        return False
    compat.import_keras_hub()
    known = vars(importlib.import_module(module)).get(name)
    return isinstance(known, type) and known.__module__ == module


def _room(module):
    """The part of Keras that a module belongs to: "" if it is Keras, None if it is no part."""
    package, *inner = str(module).split(".")
    inner = inner[1:] if inner[:1] == ["src"] else inner
    return (inner or [""])[0] if package in ("keras", "tf_keras") else None


def _is_registered(name):
    return isinstance(name, str) and tf.keras.utils.get_registered_object(name) is not None
