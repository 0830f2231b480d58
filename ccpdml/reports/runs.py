"""Finished runs, read from their directories."""

import dataclasses
from pathlib import Path
from typing import Any

from ccpdml.reports import life_cycle, records, statements


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
        lives: of its proxies, `life_cycle.Life` objects; empty if they were not recorded.
    """

    name: str
    directory: Path
    results: dict[str, Any]
    history: list[dict[str, Any]]
    config: dict[str, Any]
    figures: list[Path]
    lives: list[life_cycle.Life]

    @property
    def ran(self):
        """Description of the run, a `statements.Statement`."""
        return statements.of(self.results, self.config)


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """A finished cross-validation: runs of the same configuration on every class fold.

    Attributes:
        name: short name, different for everything in a report.
        directory: where it lies.
        results: dict of `results.json`, with the summaries 'separated' and 'concatenated'.
        runs: the finished runs in its folders `fold_F_repeat_R`, by fold, then repeat; named after
            their folder.
    """

    name: str
    directory: Path
    results: dict[str, Any]
    runs: list[Run]

    @property
    def config(self):
        """The bindings that all runs share."""
        first, *others = [run.config for run in self.runs]
        return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}

    @property
    def ran(self):
        """Description of its runs, a `statements.Statement` without seed and fold."""
        told = self.runs[0].results | self.results
        return statements.of(told, self.config).of_any_repeat


def read(directories):
    """Reads directories of runs and of cross-validations, in the order given.

    Raises:
        ValueError: if none is given, one is not finished, or a file cannot be read.
    """
    directories = [Path(directory) for directory in directories]
    if not directories:
        raise ValueError(f"At least one run directory is needed. Received: {directories=}")
    return [
        _read(directory, name)
        for directory, name in zip(directories, _short_names(directories), strict=True)
    ]


def bindings(path: Path) -> dict[str, Any]:
    """Bindings of a file as gin writes it, as of `bindings_of`; none if there is no such file."""
    return bindings_of(path.read_text()) if path.is_file() else {}


def bindings_of(text: str) -> dict[str, Any]:
    """Bindings of a text as gin writes it, str by name; long values go on in indented lines."""
    joined = text.replace("\\\n", " ").replace("\n ", " ")
    lines = [line for line in joined.splitlines() if "=" in line and not line.startswith("#")]
    pairs = [line.split("=", 1) for line in lines]
    return {name.strip(): " ".join(value.split()) for name, value in pairs}


def _read(directory, name):
    path = directory / records.RESULTS
    if not path.is_file():
        raise ValueError(f"A finished run has a `{records.RESULTS}`. Received: {directory}")
    results = records.read_results(path)
    if "separated" in results:
        return CrossValidation(name, directory, results, _read_folds(directory, results))
    return Run(
        name=name,
        directory=directory,
        results=results,
        history=records.read_history(directory / "logs" / "history.jsonl", is_over=True),
        config=bindings(directory / "config.gin"),
        figures=sorted((directory / "figures").glob("*.png")),
        lives=life_cycle.read(directory / "logs" / "proxies"),
    )


def _read_folds(directory, results):
    folders = [
        directory / f"fold_{fold}_repeat_{repeat}"
        for fold in range(results["folds"])
        for repeat in range(results["repeats"])
    ]
    return [_read(folder, folder.name) for folder in folders]


def _short_names(directories):
    """The shortest ends of the paths that tell all of them apart."""
    parts = [directory.resolve().parts for directory in directories]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"Every run may be given once. Received: {list(map(str, directories))}")
