"""Gin: the files that are read, what they may bind, and what a run keeps of them."""

import inspect
import re
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import gin
import tensorflow as tf
from absl import logging
from gin import config as gin_config
from gin import resource_reader

from ccpdml import bounds, own_code
from ccpdml.bounds import Count, NonNegative, Positive, Rate, Share, Whole

_KERAS = {
    "tf.keras.optimizers": ("Adam", "AdamW", "SGD", "RMSprop", "Nadam"),
    "tf.keras.optimizers.schedules": ("CosineDecay", "ExponentialDecay", "PiecewiseConstantDecay"),
}
# Keras annotates nothing. What its arguments may be, wherever they have these names:
_KERAS_ARGUMENTS = {
    "learning_rate": Positive | tf.keras.optimizers.schedules.LearningRateSchedule,
    "beta_1": Rate,
    "beta_2": Rate,
    "rho": Rate,
    "momentum": Rate,
    "ema_momentum": Rate,
    "epsilon": Positive,
    "weight_decay": NonNegative | None,
    "clipnorm": Positive | None,
    "clipvalue": Positive | None,
    "global_clipnorm": Positive | None,
    "ema_overwrite_frequency": Count | None,
    "loss_scale_factor": Positive | None,
    "gradient_accumulation_steps": Annotated[int, bounds.Range(2)] | None,
    **dict.fromkeys(("amsgrad", "nesterov", "centered", "use_ema", "jit_compile"), bool),
    "name": str | None,
    "initial_learning_rate": NonNegative,
    "decay_steps": Count,
    "decay_rate": Positive,
    "staircase": bool,
    "alpha": Share,
    "warmup_target": Positive | None,
    "warmup_steps": Whole,
    "boundaries": Annotated[Sequence[Whole], bounds.Length(1)],
    "values": Annotated[Sequence[Positive], bounds.Length(2)],
}

_PACKAGE = Path(__file__).parent
RUN_FILES = (_PACKAGE if (_PACKAGE / "gin").is_dir() else _PACKAGE.parent) / "gin"
"""The library's gin files: in the package where a wheel is installed, else beside it."""
_OURS = (RUN_FILES, RUN_FILES.parent)  # `sop_ms.gin` and `gin/sop_ms.gin` are the same.

FILE_NAME = "config.gin"
"""Of the configuration that a run keeps."""

# Arguments of `data.load` that tell no run apart, since the content of its data does: they may
# move, and what cannot be read be left out.
OF_NO_RUN = ("root", "skip_corrupt")
_NO_IDENTITY = re.compile(rf"(data\.)?load\.({'|'.join(OF_NO_RUN)}) = ")


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
    """Reads gin files and bindings and checks that each has an effect and a value that can be.

    Args:
        files: paths of gin files, read in order, see `find`; includes are looked for in the
            working directory, in the `gin/` folder that the file is in, else in its folder, in
            `gin/` of the working directory, and in `RUN_FILES`.
        bindings: further lines, such as "train.steps = 100", which override the files.
            What they import is looked for as `own_code.importable` says.
        roots: names of the configurables that the program calls itself.

    Raises:
        ConfigError: if a file is missing or cannot be read, a name is unknown, a binding is never
            used, or a value is not what its argument declares (see `ccpdml.bounds`).
    """
    register_keras()
    files = [find(file) for file in files]
    for folder in (*map(_root_of_includes, files), Path.cwd() / "gin", *_OURS):
        gin.add_config_file_search_path(str(folder))
    # An include is a file; gin would also take `datasets/x.gin` for one of a package `datasets`.
    package_reader = (resource_reader.system_path_reader, resource_reader.system_path_file_exists)
    if package_reader in gin_config._FILE_READERS:
        gin_config._FILE_READERS.remove(package_reader)
    own = [file for file in files if _root_of_includes(file).name != "gin"]
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)  # Gin logs every place where an include is not.
    try:
        with own_code.importable(own):
            for file in files:
                _parse(str(file), gin.parse_config_file, str(file))
            for binding in bindings:
                _parse(f"The binding '{binding}'", gin.parse_config, binding)
        _refuse_undefined_macros()
        gin.finalize()
    finally:
        logging.set_verbosity(verbosity)
    refuse_values()
    reached = _reached(roots)
    _refuse_unused(reached)
    _refuse_missing(reached)


def find(file: str | Path) -> Path:
    """The path of a gin file: as given, else of the library's own (`sop_ms.gin`, `gin/sop_ms.gin`).

    Raises:
        ConfigError: if there is none.
    """
    for folder in (Path(), *_OURS):
        if (folder / file).is_file():
            return folder / file
    raise ConfigError(
        f"There is no gin file {file}, neither from {Path.cwd()} nor among those of the library, "
        f"{RUN_FILES}."
    )


def _parse(what, parse, source):
    """Hands a file or line to gin, whose errors are many."""
    try:
        parse(source)
    except tokenize.TokenError as error:
        raise ConfigError(f"{what}: a bracket or quotation mark is left open.") from error
    except ImportError as error:
        raise ConfigError(
            f"{what}: {_in_one_line(error)}. Modules are looked for among those installed, in the "
            f"working directory, {Path.cwd()}, and in the folder of each gin file."
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{what}: an include leads back to the file that it is in.") from error
    except (ValueError, OSError, AttributeError, SyntaxError, TypeError) as error:
        raise ConfigError(f"{what}: {_in_one_line(error)}") from error


def _in_one_line(error):
    """A message of gin in one line; a binding that was given on its own is quoted already."""
    text = re.sub(r"\n\s*In bindings string line .*", "", str(error), flags=re.DOTALL)
    return " ".join(line.strip() for line in text.splitlines())


def _root_of_includes(file):
    """The closest folder above a gin file that is called `gin`, or the folder of the file."""
    folders = Path(file).resolve().parents
    return next((folder for folder in folders if folder.name == "gin"), folders[0])


def _reached(roots):
    """Follows references from the roots: all (scope, selector) that this leads to."""
    bound = gin_config._CONFIG
    reached, waiting = set(), [("", gin_config._REGISTRY.get_match(r).selector) for r in roots]
    waiting += [found for _, root in waiting for found in _defaults(root)]
    while waiting:
        scope, selector = waiting.pop()
        parts = scope.split("/") if scope else []
        for depth in range(len(parts) + 1):
            key = ("/".join(parts[:depth]), selector)
            if key not in reached:
                reached.add(key)
                waiting += _references(list(bound.get(key, {}).values()))
    return reached


def _defaults(root):
    """Defaults of a root, where nothing is bound, that gin knows."""
    bound = gin_config._CONFIG.get(("", root), {})
    parameters = inspect.signature(gin_config._REGISTRY[root].wrapped).parameters
    defaults = [p.default for name, p in parameters.items() if name not in bound]
    return [("", selector) for selector in map(_selector_of, defaults) if selector]


def _refuse_unused(reached):
    """Refuses what is bound and never reached."""
    bound = gin_config._CONFIG
    unused = sorted(set(bound) - reached)
    if unused:
        names = ", ".join(_spell(scope, selector, bound) for scope, selector in unused)
        raise ConfigError(
            f"Bound, but used by nothing that this run builds: {names}. Remove the binding, or "
            "bind what should use it (a missing `@Name` or a misspelt scope?)."
        )


def refuse_overridden(root: str = "train") -> None:
    """Checks that the program, once it has built what it runs, took what is bound.

    Args:
        root: name of the configurable that was built.

    Raises:
        ConfigError: naming what is bound to arguments that the program gives itself, always.
    """
    called, lost = gin_config._OPERATIVE_CONFIG, []
    for (scope, selector), arguments in gin_config._CONFIG.items():
        taken = [
            values
            for (inner, name), values in called.items()
            if name == selector and f"{inner}/".startswith(f"{scope}/" if scope else "")
        ]
        if taken:
            names = [name for name in arguments if not any(name in values for values in taken)]
            lost += [_full_name(scope, selector, name) for name in names]
    if lost:
        known = bounds.arguments(gin_config._REGISTRY.get_match(root).wrapped)
        own = {f"{root}.{name}" for name in (n.rpartition(".")[2] for n in lost) if name in known}
        raise ConfigError(
            f"Bound, but given by the run itself: {', '.join(sorted(lost))}. Remove the binding"
            + "".join(f"; {name} can be bound" for name in sorted(own - {*lost}))
            + "."
        )


def _refuse_missing(reached):
    """Refuses what is reached and lacks a binding that it requires."""
    bound, missing = gin_config._CONFIG, {}
    called = {
        selector for key in reached for selector in _called(list(bound.get(key, {}).values()))
    }
    for selector in {selector for _, selector in reached}:
        given = {name for key in reached if key[1] == selector for name in bound.get(key, ())}
        parameters = inspect.signature(gin_config._REGISTRY[selector].wrapped).parameters
        required = {
            name
            for name, parameter in parameters.items()
            if parameter.default is gin.REQUIRED
            or (selector in called and parameter.default is parameter.empty)
            and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }
        full_names = sorted(_full_name("", selector, name) for name in required - given)
        if full_names:
            missing[selector] = ", ".join(full_names)
    if missing:
        raise ConfigError(
            f"Missing from the gin files: {', '.join(sorted(missing.values()))}. The files in gin/ "
            "show what can be bound to them."
            + "".join(
                f" `@{_full_name('', selector, '')[:-1]}()` is called with what is bound alone; "
                "leave the () out where the program is to call it."
                for selector in sorted(called & set(missing))
            )
        )


def _refuse_undefined_macros():
    """Refuses a macro that is used and not bound, or is bound to itself."""
    for (scope, selector), arguments in gin_config._CONFIG.items():
        for name, value in arguments.items():
            for macro, found in _references(value):
                if found == "gin.macro" and (macro, found) not in gin_config._CONFIG:
                    raise ConfigError(
                        f"`{_full_name(scope, selector, name)}` uses %{macro}, which no file and "
                        f"no binding sets. Add a line `{macro} = ...`."
                    )
        if selector == "gin.macro" and _leads_back(scope):
            raise ConfigError(f"The macro %{scope} is set by itself. Give it a value.")


def _leads_back(macro):
    """Tells whether the value of a macro refers to that macro, maybe through others."""
    seen, waiting = set(), [macro]
    while waiting:
        bound = gin_config._CONFIG.get((waiting.pop(), "gin.macro"), {})
        found = {m for m, selector in _references(bound.get("value")) if selector == "gin.macro"}
        waiting += found - seen
        seen |= found
    return macro in seen


def refuse_values() -> None:
    """Checks that everything bound is what its argument declares.

    Raises:
        ConfigError: naming each binding that is not, what was expected and what was received.
    """
    wrong = []
    for (scope, selector), arguments in gin_config._CONFIG.items():
        expected = declared(selector)
        made = gin_config._REGISTRY[selector].wrapped
        parameters = inspect.signature(made).parameters
        for name, value in arguments.items():
            if inspect.isclass(made) and name not in bounds.arguments(made):
                full_name = _full_name(scope, selector, name)
                wrong.append(f"`{full_name}` cannot be bound: {made.__name__} has no `{name}`.")
            is_default = name in parameters and value is parameters[name].default
            if (
                name in expected
                and not is_default
                and not bounds.fits(_known(value), expected[name])
            ):
                full_name = _full_name(scope, selector, name)
                line = bounds.complaint(full_name, _behind_macros(value), expected[name])
                wrong.append(f"{line}, from {value}" if _is_macro(value) else line)
    if wrong:
        raise ConfigError(" ".join(wrong))


def declared(selector: str) -> dict[str, Any]:
    """Annotations of the arguments of a configurable: {name: annotation}."""
    entry = gin_config._REGISTRY[selector]
    if entry.module in _KERAS:
        parameters = inspect.signature(entry.wrapped).parameters
        return {name: hint for name, hint in _KERAS_ARGUMENTS.items() if name in parameters}
    return bounds.declared(entry.wrapped)


def _is_macro(value):
    is_reference = isinstance(value, gin_config.ConfigurableReference)
    return is_reference and _references(value)[0][1] == "gin.macro"


def _behind_macros(value):
    """The value behind a macro, or a macro of a macro; any other value as it is."""
    while _is_macro(value):
        ((scope, selector),) = _references(value)
        value = gin_config._CONFIG[scope, selector]["value"]
    return value


def _known(value):
    """A bound value as far as it is known before anything is built; see `bounds.fits`."""
    value = _behind_macros(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_known, value))
    if isinstance(value, dict):
        return {_known(key): _known(each) for key, each in value.items()}
    if not isinstance(value, gin_config.ConfigurableReference):
        return value
    ((_, selector),) = _references(value)
    made = gin_config._REGISTRY[selector].wrapped
    if not value.evaluate:
        return made
    return bounds.Made(made) if inspect.isclass(made) else bounds.UNKNOWN


def _full_name(scope, selector, argument):
    """Name of an argument as a gin file spells it."""
    package, _, rest = selector.partition(".")
    name = rest.rpartition(".")[2] if package == "ccpdml" else selector
    return f"{scope}/{name}.{argument}" if scope else f"{name}.{argument}"


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


def _called(value):
    """Selectors of what gin calls itself for a bound value, with nothing but what is bound."""
    if isinstance(value, gin_config.ConfigurableReference):
        found = [selector for _, selector in _references(value)]
        return found if value.evaluate and found != ["gin.macro"] else []
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in _called(item)]
    return []


def _spell(scope, selector, bound):
    if selector == "gin.macro":
        return f"macro {scope}"
    name = f"{scope}/{selector}" if scope else selector
    return " and ".join(f"{name}.{argument}" for argument in bound[scope, selector])


def message(error: Exception) -> str:
    """The text of an error without the lines that gin adds on which function it came through."""
    return re.sub(r"\n\s*In call to configurable .*", "", str(error))


def text() -> str:
    """The bindings of this process as a gin file, the same for the same bindings."""
    return gin.config_str()


def bindable(value: Any) -> Any:
    """The value of an argument; of a default that gin knows, what gin makes of it."""
    return gin.get_configurable(value) if _selector_of(value) else value


def _selector_of(value):
    """Name under which gin knows a class or function of the program; None if it does not."""
    known = gin_config._REGISTRY.items()
    return next((selector for selector, entry in known if entry.wrapped is value), None)


def has_bindings() -> bool:
    """Tells whether gin has bound anything."""
    return bool(gin_config._CONFIG)


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
    return [line for line in lines if not _NO_IDENTITY.match(line)]


def _difference(path):
    old, new = (set(_identity(source)) for source in (path.read_text(), text()))
    lines = [f"  - {line}" for line in sorted(old - new)] + [
        f"  + {line}" for line in sorted(new - old)
    ]
    return "\n".join(line for line in lines if "=" in line)
