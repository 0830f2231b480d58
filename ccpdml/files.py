"""Files that other processes may be reading, or that a kill must not leave half written."""

import contextlib
import os
import shutil
from pathlib import Path

UNFINISHED = ".ccpdml-new"  # How names end while this program writes; nobody else's do.


def refuse_existing(*paths, overwrite=None):
    """Refuses to write where something is already, unless that was asked for.

    A command calls it with every file and folder that it will make, before it makes the first.

    Args:
        paths: what is going to be written.
        overwrite: whether what is there may be replaced; None where that cannot be asked for.

    Raises:
        FileExistsError: if one of them is there, naming all that are.
    """
    there = [str(path) for path in paths if os.path.lexists(path)]
    if there and not overwrite:
        raise FileExistsError(
            f"{', '.join(there)}: there already, and not replaced without being asked. Choose "
            "another output, or move what is there away"
            f"{'.' if overwrite is None else ', or ask for it (--overwrite).'}"
        )


@contextlib.contextmanager
def replacing(path):
    """Gives a binary file to write that takes the place of `path` once it is complete.

    Args:
        path: of the file; its folder is made if missing.

    Raises:
        OSError: if it cannot be written; what was there before is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}{UNFINISHED}")  # Of one that was killed: written over.
    try:
        with new.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_text(path, text):
    """Writes a whole text file in one go: readers see the old one or the new one.

    Args:
        path: of the file; its folder is made if missing.
        text: str, written as UTF-8.

    Raises:
        OSError: if it cannot be written; what was there before is kept.
    """
    with replacing(path) as file:
        file.write(text.encode())


@contextlib.contextmanager
def filling(folder):
    """Gives an empty folder to write files into, which then take their places in `folder`.

    For what is written by libraries that want a path. Each file is there as it was, or whole; none
    takes its place before all are written.

    Args:
        folder: where the files are to be; made if missing.

    Raises:
        OSError: if they cannot be written; what was there before is kept.
    """
    folder = Path(folder)
    new = folder / UNFINISHED
    shutil.rmtree(new, ignore_errors=True)  # Of a process that was killed.
    new.mkdir(parents=True)
    yield new
    for path in sorted(new.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(folder / path.name)
    new.rmdir()
