"""Code of one's own that gin files import: where it is looked for."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def importable(files: Sequence[str | Path]) -> Iterator[None]:
    """Lets imports also look into the working directory and the folders of gin files.

    They are looked into last, so that nothing installed is hidden by a folder of the same name.
    One that a module came from stays searched afterwards, for what that imports later.

    Args:
        files: paths of gin files; those in a folder of gin files only need not be given.
    """
    folders = dict.fromkeys(
        map(str, [Path.cwd(), *(Path(file).resolve().parent for file in files)])
    )
    added = [folder for folder in folders if folder not in sys.path]
    before = set(sys.modules)
    sys.path += added
    try:
        yield
    finally:
        names = {name.partition(".")[0] for name in set(sys.modules) - before}
        used = {folder for name in names for folder in _folders_of(sys.modules.get(name))}
        for folder in set(added) - used:
            sys.path.remove(folder)


def _folders_of(module):
    """The folders in which a module or package of the highest level lies."""
    packages = getattr(module, "__path__", None)
    file = getattr(module, "__file__", None)
    places = packages if packages is not None else [file] if file else []
    return {str(Path(place).resolve().parent) for place in places}
