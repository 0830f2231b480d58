"""The cheap checks of a data set: everything that can be said without opening an image."""

import collections
import os


def problems(source, verify_counts=True):
    """What is wrong with a data set, one line each.

    Args:
        source: `source.Source`.
        verify_counts: whether to compare with the published counts.

    Returns:
        List of str that begin with the kind: 'count', 'mislabelled', 'duplicate' or 'missing'.
    """
    found = list(source.problems)
    if verify_counts:
        found += counts(source)
    paths = [path for part in source.parts.values() if not part.in_memory for path in part.paths]
    return found + listed_twice(paths) + missing(paths)


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
