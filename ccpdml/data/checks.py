"""Checks of a data set that open no image."""

import collections
import os

import numpy as np

from ccpdml.data import decoding


def problems(source, verify_counts=True, closed_set=False):
    """Faults of a data set, one line each.

    Args:
        source: `source.Source`.
        verify_counts: whether to compare with the published counts.
        closed_set: whether the classes to test on are to be those that are trained on.

    Returns:
        List of str that begin with the kind: 'classes', 'count', 'mislabelled', 'duplicate',
        'missing' or 'format'.
    """
    found = list(source.problems) + classes(source, closed_set)
    if verify_counts:
        found += counts(source)
    paths = [path for part in source.parts.values() if not part.in_memory for path in part.paths]
    return found + listed_twice(paths) + missing(paths) + formats(paths)


def classes(source, closed_set=False):
    """Classes that are in several parts and should not be, or are not and should."""
    trained = set(source.development.class_names)
    found = []
    for name in ("validation", "test"):
        part = source.parts.get(name)
        both = sorted(trained.intersection(part.class_names)) if part else []
        if both and not closed_set:
            found.append(
                f"classes: expected other classes in {name} than in train (retrieval of unseen "
                f"classes). Received: {len(both)} in both, e.g. {both[0]!r}. To test classes that "
                "were trained on, bind data.load.closed_set = True; results say so."
            )
        if closed_set and part and len(both) < part.num_classes:
            odd = sorted(set(part.class_names) - trained)[0]
            found.append(
                f"classes: expected every class of {name} in train as well, as "
                f"data.load.closed_set = True says. Received: {odd!r} in {name} only"
            )
    return found


def alone(images, gallery=None):
    """Names of classes with images to search for and none to be found, in order of their labels.

    Of images with several labels, those that `labels` has of them.

    Args:
        images: `image_set.ImageSet` of the queries.
        gallery: what they are searched in; None is themselves, where an image is not its own match.
    """
    labels = np.unique(images.labels[are_alone(images, gallery)])
    return [images.class_names[label] for label in labels]


def are_alone(images, gallery=None):
    """Tells which images have none to be found, that is of their class or with a label of theirs.

    Args:
        images, gallery: as for `alone`.

    Returns:
        Bool [n].
    """
    searched = images if gallery is None else gallery
    if searched.several is None:
        found = np.bincount(searched.labels, minlength=images.num_classes)
    else:
        found = searched.several.sum(axis=0)
    others = found - (gallery is None) > 0  # Of each class, whether there is one to be found.
    return ~(others[images.labels] if images.several is None else (images.several & others).any(1))


def formats(paths):
    """Files of kinds that cannot be decoded, by their names."""
    reasons = ((path, decoding.why_refused(path)) for path in paths)
    return [f"format: {path}: {why}" for path, why in reasons if why]


def counts(source):
    """Compares images and classes of each part with the published numbers."""
    found = []
    for name, (images, classes) in source.published.items():
        part = source.parts[name]
        if (len(part), part.num_classes) != (images, classes):
            found.append(
                f"count: {name} holds {len(part)} images of {part.num_classes} classes, "
                f"published are {images} of {classes}"
            )
    return found


def listed_twice(paths):
    """Paths that are listed more than once."""
    repeated = [path for path, count in collections.Counter(paths).items() if count > 1]
    return [f"duplicate: {path} is listed more than once" for path in repeated]


def missing(paths):
    """Listed files that are not there. Reads each folder once, which is quick on a network too."""
    content, found = {}, []
    for path in paths:
        folder, name = os.path.split(path)
        folder = folder or "."
        if folder not in content:
            content[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in content[folder]:
            found.append(f"missing: {path}")
    return found
