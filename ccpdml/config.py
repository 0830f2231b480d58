"""Gin: which files are read, what they may bind, and what a run keeps of them."""

import inspect
import re
from collections.abc import Sequence
from pathlib import Path

import gin
import tensorflow as tf
from absl import logging
from gin import config as gin_config

_KERAS = {
    "tf.keras.optimizers": ("Adam", "AdamW", "SGD", "RMSprop", "Nadam"),
    "tf.keras.optimizers.schedules": ("CosineDecay", "ExponentialDecay", "PiecewiseConstantDecay"),
}

FILE_NAME = "config.gin"
"""Of the configuration that a run keeps."""

# A run is told by the content of its data: they may move, and what cannot be read be left out.
NO_IDENTITY = re.compile(r"(data\.)?load\.(root|skip_corrupt) = ")


class ConfigError(ValueError):
    """A configuration that cannot be run."""


def register_keras() -> None:
    """Makes Keras's optimizers and learning-rate schedules known to gin, once."""
    for module, names in _KERAS.items():
        home = tf.keras.optimizers
        home = home.schedules if module.endswith("schedules") else home
        for name in names:
            if f"{module}.{name}" not in gin_config._REGISTRY:
                gin.external_configurable(getattr(home, name), module=module)


def load(
    files: Sequence[str | Path], bindings: Sequence[str] = (), roots: Sequence[str] = ("train",)
) -> None:
    """Reads gin files and bindings and checks that each of them has an effect.

    Args:
        files: paths of gin files, read in order; includes are looked up beside the repository's
            `gin/` folder or from the working directory.
        bindings: further lines, such as "train.steps = 100", which override the files.
        roots: names of the configurables that the program calls itself.

    Raises:
        ConfigError: if a file is missing, a name is unknown or a binding is never used.
    """
    register_keras()
    for file in files:
        if not Path(file).is_file():
            raise ConfigError(f"There is no gin file {file}. The runs are listed in the README.")
        gin.add_config_file_search_path(str(_root_of_includes(file)))
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)  # Gin logs every place where an include is not.
    try:
        gin.parse_config_files_and_bindings([str(f) for f in files], list(bindings))
    except (ValueError, OSError, AttributeError, SyntaxError, TypeError) as error:
        raise ConfigError(f"{' '.join(map(str, files))}: {error}") from error
    finally:
        logging.set_verbosity(verbosity)
    reached = _reached(roots)
    _refuse_unused(reached)
    _refuse_missing(reached)


def _root_of_includes(file):
    """The closest folder above a gin file that is called `gin`, or the folder of the file."""
    folders = Path(file).resolve().parents
    return next((folder for folder in folders if folder.name == "gin"), folders[0])


def _reached(roots):
    """Follows references from the roots: all (scope, selector) that this leads to."""
    bound = gin_config._CONFIG
    reached, waiting = set(), [("", gin_config._REGISTRY.get_match(r).selector) for r in roots]
    while waiting:
        scope, selector = waiting.pop()
        parts = scope.split("/") if scope else []
        for depth in range(len(parts) + 1):
            key = ("/".join(parts[:depth]), selector)
            if key not in reached:
                reached.add(key)
                waiting += _references(list(bound.get(key, {}).values()))
    return reached


def _refuse_unused(reached):
    """What is bound and never reached is an error."""
    bound = gin_config._CONFIG
    unused = sorted(set(bound) - reached)
    if unused:
        names = ", ".join(_spell(scope, selector, bound) for scope, selector in unused)
        raise ConfigError(
            f"Bound, but used by nothing that this run builds: {names}. Remove the binding, or "
            "bind what should use it (a missing `@Name` or a misspelt scope?)."
        )


def _refuse_missing(reached):
    """What is reached and lacks a binding that it requires is an error."""
    bound, missing = gin_config._CONFIG, set()
    for selector in {selector for _, selector in reached}:
        given = {name for key in reached if key[1] == selector for name in bound.get(key, ())}
        parameters = inspect.signature(gin_config._REGISTRY[selector].wrapped).parameters
        required = {n for n, p in parameters.items() if p.default is gin.REQUIRED}
        missing |= {f"{selector.split('.')[-1]}.{name}" for name in required - given}
    if missing:
        raise ConfigError(
            f"Missing from the gin files: {', '.join(sorted(missing))}. The files in gin/ show "
            "what can be bound to them."
        )


def _references(value):
    """(scope, selector) of every configurable that a bound value refers to."""
    if isinstance(value, gin_config.ConfigurableReference):
        selector = value.selector
        match = gin_config._REGISTRY.get_match(selector)
        return [("/".join(value.scopes), match.selector if match else selector)]
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in _references(item)]
    return []


def _spell(scope, selector, bound):
    if selector == "gin.macro":
        return f"macro {scope}"
    name = f"{scope}/{selector}" if scope else selector
    return " and ".join(f"{name}.{argument}" for argument in bound[scope, selector])


def text() -> str:
    """The bindings of this process as a gin file, the same for the same bindings."""
    return gin.config_str()


def refuse_other(run_dir: str | Path) -> None:
    """Checks that a run directory is this configuration's, or nobody's.

    Raises:
        ConfigError: if it belongs to another configuration.
    """
    path = Path(run_dir) / FILE_NAME
    if path.exists() and _identity(path.read_text()) != _identity(text()):
        raise ConfigError(
            f"{run_dir} holds a run of another configuration. Choose another --run_dir, or give "
            f"the configuration of {path} to resume that run. They differ in:\n{_difference(path)}"
        )


def _identity(source):
    """The bindings that a run may not change, as lines."""
    lines = source.replace("\\\n", "").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    return [line for line in lines if not NO_IDENTITY.match(line)]


def _difference(path):
    old, new = (set(_identity(source)) for source in (path.read_text(), text()))
    lines = [f"  - {line}" for line in sorted(old - new)] + [
        f"  + {line}" for line in sorted(new - old)
    ]
    return "\n".join(line for line in lines if "=" in line)
