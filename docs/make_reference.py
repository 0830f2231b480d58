"""Writes docs/reference.md: every name that a gin file can bind, read from the code itself.

python docs/make_reference.py
"""

import collections
import inspect
import re
from pathlib import Path

import gin
from gin import config as gin_config

from ccpdml import bounds, config, training  # noqa: F401, importing a room registers its names

PAGE = Path(__file__).with_name("reference.md")
ROOMS = {
    "runs": "The run",
    "training": "The learner and what acts on it",
    "data": "Data sets, samplers and views",
    "models": "Encoders, backbones and what they make of pixels",
    "losses": "Losses, criteria and miners",
    "layers": "Layers",
    "ops": "Rules that pick proxies",
}
HEADER = """# Configuration reference

[Documentation](README.md) · how gin files work: [configuration.md](configuration.md)

Every name that gin knows here, and what can be bound of it as `Name.argument = value`. A binding
takes effect where the run uses the name, that is, where another binding refers to it with `@Name`;
a binding that nothing uses is refused. Written by `python docs/make_reference.py` from the code;
the suite fails where the two differ.

A value that is not what "may be" says is refused before a run starts. *required* must be bound;
*given* is handed over by the program, or must be bound where nothing does.
"""


def registered():
    """What gin knows of this library: {room: {name in gin files: class or function}}."""
    rooms = collections.defaultdict(dict)
    for _, entry in gin_config._REGISTRY.items():
        package, _, rest = entry.wrapped.__module__.partition(".")
        if package == "ccpdml":
            name = "data.load" if entry.module == "data" else entry.name
            rooms[rest.split(".")[0]][name] = entry.wrapped
    return rooms


def arguments(configurable):
    """The arguments that can be bound: {name: default}."""
    function = configurable.__init__ if inspect.isclass(configurable) else configurable
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }


def descriptions(configurable):
    """What the docstring says about arguments: {name: text}."""
    _, _, section = (configurable.__doc__ or "").partition("Args:\n")
    lines = inspect.cleandoc(section.split("\n\n")[0]).strip().splitlines()
    found, names = {}, []
    for line in lines:
        entry = re.match(r"(\w+(?:, \w+)*): (.*)", line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def spell(default):
    """A default value as a gin file would have it."""
    if default is inspect.Parameter.empty:
        return "*given*"
    if default is gin.REQUIRED:
        return "*required*"
    return f"`@{default.__name__}`" if callable(default) else f"`{default!r}`"


def entry(name, configurable):
    """The lines about one name."""
    (summary, *_) = inspect.getdoc(configurable).split("\n\n")
    yield f"### {name}\n\n{' '.join(summary.split())}\n"
    about, declared = descriptions(configurable), bounds.declared(configurable)
    rows = [
        f"| `{argument}` | {spell(default)} | {may_be(declared.get(argument))} | "
        f"{escape(about.get(argument, ''))} |"
        for argument, default in arguments(configurable).items()
    ]
    if rows:
        head = ["| argument | default | may be | |", "| --- | --- | --- | --- |"]
        yield "\n".join([*head, *rows]) + "\n"


def may_be(annotation):
    """The numbers, words and switches that an argument takes; nothing of other kinds."""
    words = "" if annotation is None else bounds.spell(annotation)
    return "" if "in gin: @" in words else escape(words)


def escape(cell):
    """Text in a cell of a Markdown table."""
    return cell.replace("|", "\\|")


def keras():
    """The lines about what is Keras's own."""
    yield "## Optimizers and schedules of Keras\n"
    yield "With Keras's own arguments, such as `tf.keras.optimizers.Adam.learning_rate`.\n"
    names = [f"`{module}.{name}`" for module, names in config._KERAS.items() for name in names]
    yield "\n".join(f"- {name}" for name in names) + "\n"


def text():
    """The page."""
    rooms, lines = registered(), [HEADER]
    for room, title in ROOMS.items():
        lines.append(f"## {title}\n")
        # The root of every run comes first.
        for name in sorted(rooms[room], key=lambda name: (name != "train", name.lower())):
            lines += entry(name, rooms[room][name])
    missing = rooms.keys() - ROOMS.keys()
    if missing:
        raise ValueError(f"`ROOMS` must name every room with names for gin. Received: no {missing}")
    return "\n".join([*lines, *keras()])


if __name__ == "__main__":
    PAGE.write_text(text())
