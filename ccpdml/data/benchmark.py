"""Benchmarks: what is published about them, and the layouts of their copies on disk."""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

from ccpdml.data.source import Source

DEFAULT_ROOT = "~/.ccpdml/data"


def data_root(root=None):
    """Folder that holds the data sets: `root`, else $CCPDML_DATA, else ~/.ccpdml/data."""
    return pathlib.Path(root or os.environ.get("CCPDML_DATA") or DEFAULT_ROOT).expanduser()


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way the files of a benchmark are laid out.

    Attributes:
        name: what to call it.
        markers: files and folders that must exist in the data set's folder, relative paths.
        read: function of that folder -> `source.Source`.
    """

    name: str
    markers: tuple[str, ...]
    read: Callable[[pathlib.Path], Source]

    def missing(self, folder):
        return [marker for marker in self.markers if not (folder / marker).exists()]


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file that its publisher still serves.

    Attributes:
        url, size, sha256: where it is, its bytes and its checksum.
    """

    url: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A published data set.

    Attributes:
        name: the short name, for `data.load` and flags.
        title: the full name.
        folders: names its folder goes by, relative to the data root, the usual one first.
        layouts: the ways it is laid out, tuple of `Layout`.
        published: {part: (images, classes)}.
        home: where it comes from.
        licence: what is known about its terms.
        how_to_get: what to do to have it.
        archive: what can be downloaded without asking anybody, or None.
    """

    name: str
    title: str
    folders: tuple[str, ...]
    layouts: tuple[Layout, ...]
    published: dict[str, Any]
    home: str
    licence: str
    how_to_get: str
    archive: Archive | None = None

    def locate(self, root=None):
        """Finds a copy under the data root, or at `root` itself.

        Returns:
            Tuple (folder, layout).

        Raises:
            FileNotFoundError: if no layout is complete; says what was looked for, where to get
                the data, where to put it and what to try without.
        """
        candidates = self._candidates(root)
        for folder in candidates:
            for layout in self.layouts:
                if not layout.missing(folder):
                    return folder, layout
        raise FileNotFoundError(self._not_found(candidates))

    def read(self, root: str | pathlib.Path | None = None) -> Source:
        """Reads the lists of a copy; `root` as for `locate`."""
        folder, layout = self.locate(root)
        source = layout.read(folder)
        return dataclasses.replace(source, layout=layout.name, published=self.published)

    def about(self):
        """Source and terms of the data set, a few lines of text."""
        return (
            f"{self.title}\n  home: {self.home}\n  licence: {self.licence}\n"
            f"  how to get it: {self.how_to_get}"
        )

    def _candidates(self, root):
        root = data_root(root)
        return [root / folder for folder in self.folders] + [root]

    def _not_found(self, candidates):
        looked = []
        for layout in self.layouts:
            # The folder where most of the layout is tells best what it lacks.
            folder = min(candidates, key=lambda folder: len(layout.missing(folder)))
            missing = ", ".join(layout.missing(folder))
            looked.append(f"  layout {layout.name}: {folder} lacks {missing}")
        return "\n".join(
            [
                f"{self.title} was not found.",
                *looked,
                self.about(),
                f"  where to put it: {candidates[0]}, or anywhere else with --data_root or "
                "$CCPDML_DATA naming the folder above it",
                f"`ccpdml check-data --dataset={self.name}` checks a copy. Without "
                "any data: ccpdml run --gin_file=gin/glyphs_ms.gin",
            ]
        )
