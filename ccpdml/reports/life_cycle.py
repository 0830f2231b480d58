"""The life of proxies, as a run recorded it: an instance at a time."""

import dataclasses
import zipfile
import zlib
from pathlib import Path

import numpy as np

COLUMNS = (
    *("instance", "from step", "replaced at", "images", "radius at birth", "at the end"),
    *("moved on average", "at most"),
)


@dataclasses.dataclass(frozen=True)
class Life:
    """The proxies of one problem instance; arrays are [num_classes, proxies_per_class].

    Attributes:
        instance: its number, int.
        born: step at which they were placed, int.
        ended: step at which the instance or the run ended, int; None if the run goes on.
        replaced: whether another instance followed, bool.
        images: row of the training set that each was born from, int; None if it is not known.
        radius: largest distance from a pool point whose nearest proxy it is, float.
        curve: covering radius of the best 1, 2, ... proxies, mean over classes, float
            [proxies_per_class].
        moved: distance from birth at the end, float; None if the run goes on.
        end_radius, end_curve: as `radius` and `curve`, at the end, in the pool of the proxies that
            followed; None if none did.
    """

    instance: int
    born: int
    ended: int | None
    replaced: bool
    images: np.ndarray | None
    radius: np.ndarray
    curve: np.ndarray
    moved: np.ndarray | None
    end_radius: np.ndarray | None
    end_curve: np.ndarray | None

    @property
    def span(self):
        """Its steps in words."""
        return f"from step {self.born:,}" + ("" if self.ended is None else f" to {self.ended:,}")


def read(directory):
    """Reads what `training.ProxyRecord` wrote.

    Args:
        directory: the folder of the record; it may be missing.

    Returns:
        List of `Life`, in order.

    Raises:
        ValueError: if a file cannot be read; names it.
    """
    paths = sorted(Path(directory).glob("instance_*.npz"))
    numbers = [int(path.stem.split("_")[1]) for path in paths]
    placed = [_arrays(path) for path in paths]
    end = Path(directory) / "end.npz"
    ends = [{"step": file["step"]} | _of_old(file) for file in placed[1:]]
    ends.append(_arrays(end) if end.is_file() else {})
    return [_life(*known) for known in zip(numbers, placed, ends[: len(placed)], strict=True)]


def _arrays(path):
    try:
        return dict(np.load(path))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: expected arrays, as this program wrote them ({error}). Remove the folder "
            f"{path.parent}; only what it told of the proxies is lost."
        ) from error


def table(lives):
    """A row per instance under `COLUMNS`, lists of str; means over all proxies."""
    return [
        [
            str(life.instance),
            f"{life.born:,}",
            f"{life.ended:,}" if life.replaced else "–",
            "" if life.images is None else f"{len(np.unique(life.images)):,}",
            _mean(life.radius),
            _mean(life.end_radius),
            _mean(life.moved),
            "" if life.moved is None else f"{life.moved.max():.3f}",
        ]
        for life in lives
    ]


def _of_old(file):
    """Facts that a file holds of the proxies that were replaced."""
    return {name.removeprefix("old_"): file[name] for name in file if name.startswith("old_")}


def _life(number, placed, end):
    return Life(
        instance=number,
        born=int(placed["step"]),
        ended=int(end["step"]) if end else None,
        replaced="radius" in end,
        images=placed.get("images"),
        radius=placed["radius"],
        curve=placed["curve"],
        moved=end.get("moved"),
        end_radius=end.get("radius"),
        end_curve=end.get("curve"),
    )


def _mean(values):
    return "" if values is None else f"{np.mean(values):.3f}"
