"""Pictures of what a search finds, and of the images that proxies were born from."""

import numpy as np

from ccpdml.reports import figures, sheet

MOST_INSTANCES, MOST_PROXIES = 5, 10


def retrieval_gallery(
    images,
    labels,
    neighbors,
    path,
    queries=None,
    gallery_images=None,
    gallery_labels=None,
    titles=None,
    class_names=None,
    right=None,
    tile_size=96,
):
    """Draws a row per query: the query, then its nearest images framed by right and wrong.

    Right is a green frame with a tick, wrong an orange-red one with a cross.

    Args:
        images: uint8 [n, height, width] or [n, height, width, 1 or 3], or a sequence of paths.
        labels: [n].
        neighbors: gallery index of each query's nearest images, int [num_queries, k].
        path: image file to write.
        queries: index into `images` of each query, int [num_queries]; None: the first ones.
        gallery_images, gallery_labels: what `neighbors` points into; None: `images`, `labels`.
        titles: text above each row, [num_queries]; None: the class of the query.
        class_names: text under a neighbor by its label, a sequence or dict; None: the label.
        right: whether each neighbor is right, bool [num_queries, k]; None: those of the query's
            class are.
        tile_size: width and height of a picture in pixels, int.

    Raises:
        ValueError: if images are neither uint8 nor paths, or the lengths do not fit.
    """
    neighbors, labels = np.atleast_2d(neighbors), np.asarray(labels).reshape(-1)
    queries = _one_for_each(queries, neighbors)
    if gallery_images is None:
        gallery_images, gallery_labels = images, labels
    gallery_labels = np.asarray(gallery_labels).reshape(-1)
    name = str if class_names is None else class_names.__getitem__
    num_rows, num_neighbors = neighbors.shape
    page = sheet.Sheet(num_rows, num_neighbors + 1, tile_size, space_after_first=True)
    for row, (query, found) in enumerate(zip(queries, neighbors, strict=True)):
        page.title(row, name(labels[query]) if titles is None else titles[row])
        page.place(row, 0, sheet.picture(images, query), "query")
        for column, index in enumerate(found, start=1):
            is_right = gallery_labels[index] == labels[query]
            if right is not None:
                is_right = right[row, column - 1]
            caption = name(gallery_labels[index])
            page.place(row, column, sheet.picture(gallery_images, index), caption, is_right)
    page.save(path)


def _one_for_each(queries, neighbors):
    """The queries, one for each row of neighbors; None is the first ones."""
    queries = np.arange(len(neighbors)) if queries is None else np.asarray(queries)
    if len(queries) != len(neighbors):
        raise ValueError(
            "`queries` and `neighbors` must have the same length. "
            f"Received: {len(queries)=}, {len(neighbors)=}"
        )
    return queries


def birth_gallery(lives, images, class_names, path, classes, tile_size=80):
    """Draws the images that proxies were born from, in a row per class and problem instance.

    Under each: how far the proxy moved until its instance ended, and the largest distance from a
    point of its pool that had no nearer proxy.

    Args:
        lives: `life_cycle.Life` objects; at most 5 of them, evenly spaced, are shown.
        images: what `Life.images` points into, as of `retrieval_gallery`.
        class_names: name by label.
        path: image file to write.
        classes: labels to show.
        tile_size: width and height of a picture in pixels, int.

    Raises:
        ValueError: if no life has images.
    """
    lives = [life for life in lives if life.images is not None]
    if not lives:
        raise ValueError(f"`lives` must tell the images of proxies. Received: {lives=}")
    num_lives, (num_classes, num_proxies) = len(lives), lives[0].images.shape
    lives = [lives[i] for i in figures.evenly_spaced(np.arange(num_lives), MOST_INSTANCES)]
    proxies = figures.evenly_spaced(np.arange(num_proxies), MOST_PROXIES)
    header = "shown: " + ", ".join(
        f"{shown} of {total:,} {what}"
        for shown, total, what in (
            (len(classes), num_classes, "classes"),
            (len(lives), num_lives, "problem instances"),
            (len(proxies), num_proxies, "proxies"),
        )
    )
    page = sheet.Sheet(
        len(classes) * len(lives), len(proxies), tile_size, caption_lines=2, header=header
    )
    places = [(label, life) for label in classes for life in lives]
    for row, (label, life) in enumerate(places):
        page.title(row, f"{class_names[label]}, instance {life.instance}: {life.span}")
        for column, proxy in enumerate(proxies):
            moved = "" if life.moved is None else f"moved {life.moved[label, proxy]:.2f}"
            caption = f"{moved}\nradius {life.radius[label, proxy]:.2f}"
            image = sheet.picture(images, life.images[label, proxy])
            page.place(row, column, image, caption)
    page.save(path)


def best_and_worst(scores, labels, num_best, num_worst):
    """Queries to show: those with the highest scores, best first, and the lowest, worst first.

    Args:
        scores: float [num_queries], such as 'map_at_r' of
            `metrics.per_query`; NaN (no match) is never chosen.
        labels: [num_queries]; of a class at most one query is chosen for each end.
        num_best, num_worst: ints.

    Returns:
        Int [num_best] and int [num_worst], or fewer if there are fewer classes; of equal scores
        the first.
    """
    scores, labels = np.asarray(scores), np.asarray(labels).reshape(-1)
    scored = np.flatnonzero(~np.isnan(scores))
    ends = []
    for sign, count in ((-1.0, num_best), (1.0, num_worst)):
        order = scored[np.argsort(sign * scores[scored], kind="stable")]
        _, firsts = np.unique(labels[order], return_index=True)
        ends.append(order[np.sort(firsts)[:count]])
    return tuple(ends)
