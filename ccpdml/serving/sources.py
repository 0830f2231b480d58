"""Images by name: files, folders, CSV tables and patterns."""

import dataclasses
import glob
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from ccpdml.data import checks, decoding, folder, listing


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files, and what is known of their classes.

    Attributes:
        paths: tuple of str.
        classes: name of the class of each, tuple of str; "" where it is not known.
    """

    paths: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self):
        return len(self.paths)


def find_images(sources: str | Path | Iterable[str | Path]) -> ImageFiles:
    """Finds image files.

    Args:
        sources: one or several of
            a folder: every image in it at any depth, in order of path; the class is the first
            folder below it, or below its `train/`, `val/` or `test/`. Images of kinds that cannot
            be read are left out with a warning;
            a CSV file with the column `path`, relative to the file, and if wanted `label`;
            a .txt file with a path on each line, relative to the file;
            a pattern such as "photos/**/*.jpg", with classes as of a folder;
            an image file, of no known class.

    Raises:
        FileNotFoundError: if there is nothing there, or a file that is listed is missing.
        ValueError: if a list is not as described, an image is listed twice, or a name is not
            UTF-8.
    """
    sources = [sources] if isinstance(sources, (str, Path)) else list(sources)
    found = [pair for source in sources for pair in _find(os.path.expanduser(source))]
    if not found:
        raise ValueError(f"Expected images. Received: none in {', '.join(map(str, sources))}")
    paths = tuple(path for path, _ in found)
    for path in paths:
        if not _is_utf8(path):
            raise ValueError(f"Names of files must be UTF-8; rename it. Received: {ascii(path)}")
    twice = checks.listed_twice(map(os.path.abspath, paths))
    if twice:
        raise ValueError(f"Every image must be given once. Received: {twice[0]}")
    missing = checks.missing(paths)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileNotFoundError(f"{missing[0]}{more}")
    return ImageFiles(paths, tuple(name for _, name in found))


def _find(source):
    """Pairs (path, class) of one source."""
    path = Path(source)
    if path.is_dir():
        return _classified(path, folder.files_below(path), source)
    if path.suffix.lower() == ".csv" and path.is_file():
        rows = listing.table(path, required=("path",))
        return [(str(path.parent / row["path"]), row.get("label") or "") for row in rows]
    if path.suffix.lower() == ".txt" and path.is_file():
        return _listed(path)
    if path.is_file():
        return [(source, "")]
    if glob.has_magic(source):
        root = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
        return _classified(root, map(Path, glob.iglob(source, recursive=True)), source)
    raise FileNotFoundError(
        "Expected a folder of images, a .csv or .txt list, an image or a pattern in quotes such as "
        f"'photos/**/*.jpg'. Received: {source}, which does not exist"
    )


def _listed(file):
    """Pairs (path, class) of a file with a path on each line."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected a path on each line, in UTF-8. {error}") from error
    return [(str(file.parent / line.strip()), "") for line in lines if line.strip()]


def _is_utf8(path):
    """Tells whether the name can be printed and written; others hold bytes of another encoding."""
    return not any("\ud800" <= letter <= "\udfff" for letter in path)


def _classified(root, files, source):
    files = sorted(file for file in files if file.is_file())
    images = [file for file in files if folder.is_image(file)]
    refused = [file for file in images if decoding.why_refused(file)]
    said = ""
    if refused:
        said = f"{len(refused)} of kinds that cannot be read, e.g. {refused[0]}: "
        said += decoding.why_refused(refused[0])
    if len(refused) == len(images):
        raise FileNotFoundError(
            f"Expected images ({', '.join(decoding.EXTENSIONS)}) in {source}. "
            f"Received: {said or 'none'}"
        )
    if len(images) < len(files):
        other = next(file for file in files if not folder.is_image(file))
        logging.warning("%d files are no images, e.g. %s", len(files) - len(images), other)
    if refused:
        logging.warning("Images left out of %s: %s", source, said)
    kept = sorted(set(images).difference(refused))
    return [(str(path), _class_of(path.relative_to(root).parts[:-1])) for path in kept]


def _class_of(folders):
    """The class by the folders above an image, as `data.folder` reads them."""
    if len(folders) > 1 and folders[0].lower() in folder.PARTS:
        return folders[1]
    return folders[0] if folders else ""
