"""Claims: a run directory belongs to one configuration and one data set."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from ccpdml import config, files
from ccpdml.cluster import lock, shared_directory, strategies
from ccpdml.config import ConfigError
from ccpdml.data import identity, pipelines
from ccpdml.runs.identity import defaults

FILE_NAME = "data.json"
"""Of the description of the data that a run keeps."""

RECIPE = "recipe.json"
"""Of what the run is made of, as of `runs.identity`."""

_FOLDERS = ("checkpoints", "figures", "logs")


@contextlib.contextmanager
def occupied(output_dir: str | Path) -> Iterator[None]:
    """Keeps other processes out of a directory, and tells what stops a run in there in words.

    Raises:
        RunActiveError: if another process is at work in it.
        UnreadableFileError: at a file of the data set that cannot be read.
        WorkerLostError: if another worker of the run is gone.
    """
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    with (
        lock.held(output_dir),
        strategies.telling_lost_workers(),
        pipelines.telling_unreadable_files(),
    ):
        yield


def settle(
    run_dir: str | Path,
    output_dir: str | Path,
    data: dict[str, Any],
    strategy: tf.distribute.Strategy,
    recipe: dict[str, Any] | None = None,
) -> None:
    """Makes the directory the run's own, as `make`, by all workers, which must see the same one."""
    make(run_dir, output_dir, data, recipe)
    shared_directory.check(run_dir, strategy)
    refuse_other(run_dir, data, recipe)  # Than what the first worker wrote.


def make(
    run_dir: str | Path,
    output_dir: str | Path,
    data: dict[str, Any],
    recipe: dict[str, Any] | None = None,
) -> None:
    """Makes a run directory this configuration's and these data's own. Hold its lock meanwhile.

    Args:
        run_dir: the directory of the run.
        output_dir: where this process writes: the same, except in another worker than the first.
        data: `data.identity.of` the splits of the run.
        recipe: `runs.identity.of` the recipe of the run; None where nothing is known of it beside
            what gin has bound.

    Raises:
        ConfigError: if the directory belongs to another configuration or other data, or a file is
            where a folder is to be.
    """
    refuse_other(run_dir, data, recipe)
    for folder in (Path(run_dir) / name for name in _FOLDERS):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(
                f"{folder} must be a folder, and is a file. Move it away, or choose another "
                "--run_dir."
            )
    # The configuration last, and each in one go: where it is, the run knows its data.
    files.write_text(Path(output_dir) / FILE_NAME, json.dumps(data, indent=1) + "\n")
    if recipe is not None:
        files.write_text(Path(output_dir) / RECIPE, json.dumps(recipe, indent=1) + "\n")
    files.write_text(Path(output_dir) / config.FILE_NAME, config.text())


def refuse_other(
    run_dir: str | Path, data: dict[str, Any], recipe: dict[str, Any] | None = None
) -> None:
    """Checks that a run directory is this configuration's and these data's, or nobody's.

    Data are told by their content (see `data.identity`): they may have moved.

    Raises:
        ConfigError: if it belongs to others.
    """
    config.refuse_other(run_dir)
    if not (Path(run_dir) / config.FILE_NAME).exists():
        return
    if recipe is not None:
        _refuse_other_recipe(Path(run_dir), recipe)
    then = _read(Path(run_dir) / FILE_NAME)
    found = identity.differences(then, data)
    if found:
        raise ConfigError(
            f"{run_dir} holds a run on other data, of {_place(then)}; these are of "
            f"{_place(data)}. Choose another --run_dir, or give the data of that run "
            "(--data_root) to go on with it. They differ in:\n"
            + "\n".join(f"  {line}" for line in found)
        )
    if then["root"] != data["root"]:
        logging.info("The data have moved from %s to %s.", _place(then), _place(data))


def _refuse_other_recipe(run_dir, recipe):
    path = run_dir / RECIPE
    if not path.exists():
        # Before there were recipes, what gin had bound was all that told runs apart.
        if config.has_bindings():
            return
        raise ConfigError(
            f"{run_dir} holds a run of an earlier version, built in Python, which does not say "
            "what it was made of. Choose another run directory."
        )
    try:
        # What a later version can vary was at its default.
        then = {**defaults(), **json.loads(path.read_text())}
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} must say what the run is made of, and is damaged ({error}). Remove it to go "
            f"by {config.FILE_NAME} alone, or choose another run directory."
        ) from error
    different = [key for key in sorted({*then, *recipe}) if then.get(key) != recipe.get(key)]
    if different:
        lines = [f"  {k}: {then.get(k, 'not told')} then, {recipe.get(k)} now" for k in different]
        raise ConfigError(
            f"{run_dir} holds a run of another configuration. Choose another run directory. They "
            "differ in:\n" + "\n".join(lines)
        )


def _read(path):
    try:
        data = json.loads(path.read_text())
        return {"root": data["root"], "parts": dict(data["parts"])}
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} must say which data the run was begun with, and cannot be read "
            f"({type(error).__name__}: {error}): an earlier version began it, or the file was "
            "damaged. Choose another --run_dir."
        ) from error


def _place(data):
    return data["root"] or "images in memory"
