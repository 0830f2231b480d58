"""Files that other processes may be reading, or that a kill must not leave half written."""

import contextlib
import os
from pathlib import Path


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
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


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
