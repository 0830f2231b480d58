"""A thorough check of a data set: lists, counts, and every image opened."""

import collections
import dataclasses
import os
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml.data import checks, decoding

_FILES_PER_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Report:
    """Problems and notes of a data set.

    Attributes:
        layout: the layout that was recognised.
        counts: {part: (images, classes)}.
        problems: what makes results wrong or a run fail, one line each, the kind first: 'count',
            'missing', 'format', 'corrupt', 'duplicate', 'mislabelled' or 'classes'.
        notes: what is only worth knowing, likewise; also 'left out', 'divided' and
            'alone'.
    """

    layout: str
    counts: dict[str, Any]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self, most=20):
        """The report as lines of text, at most `most` of each kind."""
        yield f"layout: {self.layout or 'in memory'}"
        for part, (images, classes) in self.counts.items():
            yield f"{part}: {images} images of {classes} classes"
        for title, found in (("PROBLEM", self.problems), ("note", self.notes)):
            kinds = collections.defaultdict(list)
            for line in found:
                kinds[line.split(":")[0]].append(line)
            for kind, lines in kinds.items():
                yield from (f"{title} {line}" for line in lines[:most])
                if len(lines) > most:
                    yield f"{title} {kind}: ... and {len(lines) - most} more"
        yield "no problem found" if not self.problems else f"{len(self.problems)} problems"


def examine(source, verify_counts=True, on_progress=None, closed_set=False):
    """Checks a data set, opening every image.

    Args:
        source: `source.Source`.
        verify_counts: whether to compare with the published counts.
        on_progress: function called with a number of files each time so many were opened.
        closed_set: whether the classes to test on are to be those that are trained on.

    Returns:
        `Report`.
    """
    problems = checks.problems(source, verify_counts, closed_set)
    paths = np.array(sorted(_labels(source)), dtype=str)
    fingerprints = read_all(paths, on_progress)
    told = {line.removeprefix("missing: ") for line in problems}
    for path in paths[fingerprints < 0].tolist():
        if path not in told and decoding.why_refused(path) is None:
            problems.append(f"corrupt: {path}: {decoding.why_unreadable(path)}")
    twins, notes = _same_content(source, paths, fingerprints)
    notes += [f"left out: {path}" for path in source.left_out]
    notes += [f"divided: {source.rule}"] if source.rule else []
    for part in ("validation", "test"):
        if part in source.parts:
            alone = checks.alone(source.parts[part], source.gallery if part == "test" else None)
            notes += [f"alone: {name} of {part} has no other image to be found" for name in alone]
    counts = {part: (len(images), images.num_classes) for part, images in source.parts.items()}
    return Report(source.layout, counts, tuple(problems + twins), tuple(notes))


def read_all(paths, on_progress=None):
    """Opens and decodes files on all cores.

    Args:
        paths: str [n].
        on_progress: as for `examine`.

    Returns:
        A fingerprint of each file's bytes, int64 [n], at least 0; -1 where it cannot be decoded.
    """
    fingerprints = np.full(len(paths), -1, np.int64)
    if not len(paths):
        return fingerprints

    def read(index, path):
        contents = tf.io.read_file(path)
        image = decoding.decode(contents)
        fingerprint = tf.strings.to_hash_bucket_fast(contents, np.iinfo(np.int64).max)
        # The image must be asked for, or its decoding is optimised away.
        return index, fingerprint, tf.shape(image)

    files = tf.data.Dataset.from_tensor_slices((np.arange(len(paths)), paths))
    # Left to itself tf.data starts with fewer calls and takes seconds to find more.
    num_calls = 2 * os.cpu_count()
    read_files = files.map(read, num_parallel_calls=num_calls, deterministic=False)
    read_files = read_files.ignore_errors().batch(_FILES_PER_BATCH).prefetch(2)
    for indices, found, _ in read_files.as_numpy_iterator():
        fingerprints[indices] = found
        if on_progress is not None:
            on_progress(len(indices))
    return fingerprints


def _same_content(source, paths, fingerprints):
    """Files of equal bytes: problems, or notes.

    Under different labels they are a problem, except in a published data set: whoever copied it
    cannot be blamed, and results should stay comparable.
    """
    labels = _labels(source)
    groups = collections.defaultdict(list)
    for path, fingerprint in zip(paths.tolist(), fingerprints.tolist(), strict=True):
        groups[fingerprint].append(path)
    problems, notes = [], []
    for fingerprint, group in groups.items():
        if fingerprint < 0 or len(group) == 1:
            continue
        same = f"the same content in {_enumerate(group)}"
        if len({labels[path] for path in group}) == 1:
            notes.append(f"duplicate: {same}")
        elif source.published:
            notes.append(f"duplicate: under different classes, {same}")
        else:
            problems.append(f"mislabelled: under different classes, {same}")
    return problems, notes


def _enumerate(paths, most=3):
    more = [f"{len(paths) - most} more"] if len(paths) > most else []
    return ", ".join(paths[:most] + more)


def _labels(source):
    """{path: class name}."""
    return {
        path: images.names_of(row)
        for images in source.parts.values()
        if not images.in_memory
        for row, path in enumerate(images.paths)
    }
