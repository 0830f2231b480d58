"""Whose a run directory is: that of one configuration and one data set."""

import json
from pathlib import Path

from absl import logging

from ccpdml import config, files
from ccpdml.config import ConfigError
from ccpdml.data import identity

FILE_NAME = "data.json"
"""Of the description of the data that a run keeps."""

_FOLDERS = ("checkpoints", "figures", "logs")


def make(run_dir: str | Path, output_dir: str | Path, data: dict) -> None:
    """Makes a run directory this configuration's and these data's own. Hold its lock meanwhile.

    Args:
        run_dir: the directory of the run.
        output_dir: where this process writes: the same, except in another worker than the first.
        data: `data.identity.of` the splits of the run.

    Raises:
        ConfigError: if the directory belongs to another configuration or other data, or a file is
            where a folder is to be.
    """
    refuse_other(run_dir, data)
    for folder in (Path(run_dir) / name for name in _FOLDERS):
        if folder.exists() and not folder.is_dir():
            raise ConfigError(
                f"{folder} must be a folder, and is a file. Move it away, or choose another "
                "--run_dir."
            )
    # The configuration last, and each in one go: where it is, the run knows its data.
    files.write_text(Path(output_dir) / FILE_NAME, json.dumps(data, indent=1) + "\n")
    files.write_text(Path(output_dir) / config.FILE_NAME, config.text())


def refuse_other(run_dir: str | Path, data: dict) -> None:
    """Checks that a run directory is this configuration's and these data's, or nobody's.

    Data are told by their content (see `data.identity`): they may have moved.

    Raises:
        ConfigError: if it belongs to others.
    """
    config.refuse_other(run_dir)
    if not (Path(run_dir) / config.FILE_NAME).exists():
        return
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
