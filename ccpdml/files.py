"""Files that other processes may be reading, or that a kill must not leave half written."""

import contextlib
import os
from pathlib import Path


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
