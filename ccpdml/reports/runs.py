"""What finished runs left in their directories."""

import dataclasses
import json
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: short name, different for every run of a report.
        directory: where it lies.
        results: dict of `results.json`.
        history: dicts of `logs/history.jsonl`, one per evaluation.
        config: gin bindings by name, str -> str.
        figures: the paths of its figures, in alphabetical order.
    """

    name: str
    directory: Path
    results: dict
    history: list
    config: dict
    figures: list


def read(directories):
    """Reads run directories.

    Raises:
        ValueError: if none is given, or one is no finished run.
    """
    directories = [Path(directory) for directory in directories]
    if not directories:
        raise ValueError(f"At least one run directory is needed. Received: {directories=}")
    return [
        _read(directory, name)
        for directory, name in zip(directories, _short_names(directories), strict=True)
    ]


def _read(directory, name):
    results = directory / "results.json"
    if not results.is_file():
        raise ValueError(f"A finished run has a `results.json`. Received: {directory}")
    return Run(
        name=name,
        directory=directory,
        results=json.loads(results.read_text()),
        history=_lines(directory / "logs" / "history.jsonl"),
        config=_bindings(directory / "config.gin"),
        figures=sorted((directory / "figures").glob("*.png")),
    )


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _bindings(path):
    """Bindings of a gin file as gin writes it; long values go on in indented lines."""
    text = path.read_text() if path.is_file() else ""
    joined = text.replace("\\\n", " ").replace("\n ", " ")
    lines = [line for line in joined.splitlines() if "=" in line and not line.startswith("#")]
    pairs = [line.split("=", 1) for line in lines]
    return {name.strip(): " ".join(value.split()) for name, value in pairs}


def _short_names(directories):
    """The shortest ends of the paths that tell all of them apart."""
    parts = [directory.resolve().parts for directory in directories]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"Every run may be given once. Received: {list(map(str, directories))}")
