"""Near-duplicates: copies of an image, resized, saved again or turned gray, or crops of it.

Of training images among those to test on they make scores too good; of test images among
themselves they are matches for which nothing had to be learned.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image
from scipy import sparse

from ccpdml import files
from ccpdml.data import decoding, identity
from ccpdml.data.image_set import ImageSet
from ccpdml.data.source import Source

HASH_SIDE = 8
"""A perceptual hash has this many bits, squared."""
DIFFERENT_BITS = 4
"""By which the hashes of copies differ at most, unless another number is given."""
_TILE = 2**23  # Distances at a time: 64 MiB.


@dataclasses.dataclass(frozen=True)
class Found:
    """Near-duplicates of a data set.

    Attributes:
        measured: what was compared, and how near copies are, in words.
        groups: by the name of the part, of each of its images the number of its group, int [n]; -1
            where it has no near-duplicate, or cannot be decoded.
    """

    measured: str
    groups: dict[str, np.ndarray]

    def number(self, part: str, other: str) -> int:
        """Number of images of `part` with a near-duplicate in `other`, which may be the same."""
        groups = self.groups[part]
        if part != other:
            return int(np.isin(groups[groups >= 0], self.groups[other]).sum())
        _, sizes = np.unique(groups[groups >= 0], return_counts=True)
        return int(sizes[sizes > 1].sum())

    def lines(self) -> Iterator[str]:
        """The numbers as lines of text."""
        yield f"near-duplicates by {self.measured}:"
        parts = list(self.groups)
        for index, part in enumerate(parts):
            for other in parts[: index + 1]:
                where = "it" if other == part else other
                number, size = self.number(part, other), len(self.groups[part])
                yield f"  {number} of {size} images of {part} have one in {where}"


def by_hash(
    source: Source,
    different_bits: int = DIFFERENT_BITS,
    on_progress: Callable[[int], Any] | None = None,
) -> Found:
    """Near-duplicates by perceptual hashes (pHash): copies of one picture, whatever it shows.

    Copies that were resized, saved again or turned gray mostly differ by 4 bits or fewer, crops by
    more, and pictures that look alike by chance by no fewer than crops do: look at what is found.

    Args:
        source: the data set.
        different_bits: of the hashes of two copies, at most, int of 0..64.
        on_progress: function called with a number of images each time so many were hashed.

    Raises:
        ValueError: if the data are vectors, which have no picture to be hashed.
    """
    for name, part in source.parts.items():
        if part.in_memory and part.images.ndim != 4:
            raise ValueError(
                "Perceptual hashes are of pictures; give embeddings of vectors. "
                f"Received: {name} of shape {part.images.shape}"
            )
    hashes = {name: _hashes(part, on_progress) for name, part in source.parts.items()}
    measured = f"perceptual hash, {HASH_SIDE**2} bits of which at most {different_bits} differ"
    return Found(measured, _groups(hashes, different_bits))


def by_embedding(embeddings: dict[str, np.ndarray], within: float, encoder: str) -> Found:
    """Near-duplicates by an encoder: what is nearly the same to it.

    Args:
        embeddings: float [n, dim] by the names of `source.parts`.
        within: the largest Euclidean distance of two copies.
        encoder: its name, to be told.
    """
    measured = f"embeddings of {encoder}, at most {within:g} apart"
    return Found(measured, _groups(embeddings, within**2))


def write(found: Found, source: Source, path: str | os.PathLike[str]) -> None:
    """Writes what was found, for `report.py --drop_near_duplicates`.

    A JSON file: `measured`; `parts`, the data as `identity.describe` describes them; `groups`, int
    [n] by part; and `images`, lists of "part: path", one for each group.
    """
    members: dict[int, list[str]] = {}
    for name, part in source.parts.items():
        for row in np.flatnonzero(found.groups[name] >= 0):
            members.setdefault(int(found.groups[name][row]), []).append(
                f"{name}: {part.paths[row]}"
            )
    content = {
        "measured": found.measured,
        **identity.describe(source.parts),
        "groups": {name: groups.tolist() for name, groups in found.groups.items()},
        "images": list(members.values()),
    }
    files.write_text(Path(path), json.dumps(content, indent=1) + "\n")


def grouped(vectors: npt.ArrayLike, squared: float) -> np.ndarray:
    """Groups vectors: near ones are in one group, and whatever is near any member of it.

    Each pair is measured, in float64: the time grows with n squared, the memory is bounded.

    Args:
        vectors: float [n, dim]; those that are NaN are near nothing.
        squared: the largest squared Euclidean distance that is near.

    Returns:
        Number of each vector's group, int64 [n]; -1 where it is alone.
    """
    vectors = np.asarray(vectors, np.float64)
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    finite = vectors[rows]
    lengths = np.einsum("ij,ij->i", finite, finite)
    number_of, start = np.arange(len(rows)), 0
    while start < len(rows):
        end = start + max(1, _TILE // (len(rows) - start))
        distances = lengths[start:end, None] + lengths[start:]
        distances -= 2.0 * (finite[start:end] @ finite[start:].T)
        number_of = _joined(number_of, *(np.stack(np.nonzero(distances <= squared)) + start))
        start = end
    is_alone = np.bincount(number_of)[number_of] == 1
    groups = np.full(len(vectors), -1, np.int64)
    groups[rows] = np.where(is_alone, -1, number_of)
    return groups


def _joined(number_of, one, other):
    """Numbers of groups once vectors `one` and `other`, int [pairs], are in one."""
    firsts = np.unique(number_of, return_index=True)[1][number_of]
    ones, others = np.append(one, firsts), np.append(other, np.arange(len(number_of)))
    links = sparse.coo_array((np.ones(len(ones), bool), (ones, others)), 2 * [len(number_of)])
    return sparse.csgraph.connected_components(links, directed=False)[1]


def _groups(vectors, squared):
    groups = grouped(np.concatenate(list(vectors.values())), squared)
    ends = np.cumsum([len(part) for part in vectors.values()])
    return dict(zip(vectors, np.split(groups, ends[:-1]), strict=True))


def _hashes(images: ImageSet, on_progress):
    """Perceptual hashes, float32 [n, 64] of 0 and 1; NaN where a file cannot be decoded."""
    hashes = np.full((len(images), HASH_SIDE**2), np.nan, np.float32)
    for row, pixels in _pixels(images):
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)
        hashes[row] = imagehash.phash(picture, HASH_SIDE).hash.ravel()
        if on_progress is not None:
            on_progress(1)
    return hashes


def _pixels(images: ImageSet):
    """Rows and pixels of the images that can be decoded."""
    if images.in_memory:
        return enumerate(images.images)

    def decoded(row, path):
        return row, decoding.decode(tf.io.read_file(path))

    rows = np.arange(len(images))
    files_of = tf.data.Dataset.from_tensor_slices((rows, np.array(images.paths, str)))
    read = files_of.map(decoded, num_parallel_calls=2 * (os.cpu_count() or 1), deterministic=False)
    return read.ignore_errors().prefetch(8).as_numpy_iterator()
