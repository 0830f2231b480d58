"""The figures that a finished run leaves."""

from pathlib import Path

import numpy as np

from ccpdml import files, metrics
from ccpdml.reports import figures, gallery, life_cycle
from ccpdml.runs.finished import Finished

NUM_QUERIES, NUM_BEST, NUM_WORST = 8, 4, 8
NUM_NEIGHBORS = 10
NUM_CLASSES_OF_BIRTHS = 3


def draw(finished: Finished, run_dir: Path) -> None:
    """Draws curves, embeddings with proxies, the life of proxies, and retrieval galleries.

    Args:
        finished: the run.
        run_dir: its directory, which may hold a record of the life of its proxies.
    """
    with files.filling(run_dir / "figures") as folder:
        _draw_all(finished, life_cycle.read(run_dir / "logs" / "proxies"), folder)


def _draw_all(finished, lives, folder):
    train, history = finished.splits.train, finished.trained.history
    figures.learning_curve(history, folder / "learning_curve.png")
    path = folder / "embeddings.png"
    figures.embedding_view(
        finished.train_embeddings,
        train.labels,
        *finished.proxies,
        path,
        class_names=train.class_names,
    )
    if finished.trained.ran.proxies_per_class is not None:
        figures.covering_radius_curve(history, folder / "covering_radius.png")
    _draw_lives(finished.splits, lives, folder)
    _draw_queries(finished.splits, finished.test, folder)


def _draw_lives(splits, lives, folder):
    """Draws the covering radii around re-initializations, and where proxies were born."""
    if any(life.replaced for life in lives):
        figures.covering_radii_curves(lives, folder / "covering_radii.png")
    # Rows of the training set are other ones where a run left images out only when it went on.
    has_shifted = bool(splits.info.get("skipped", {}).get("train"))
    if any(life.images is not None for life in lives) and not has_shifted:
        train = splits.train
        classes = figures.evenly_spaced(np.arange(train.num_classes), NUM_CLASSES_OF_BIRTHS)
        path = folder / "proxy_births.png"
        gallery.birth_gallery(lives, train.to_draw, train.class_names, path, classes)


def _draw_queries(splits, test, folder):
    """Draws some test queries evenly spaced over the set, the best, and the worst."""
    scores = test.query_scores["map_at_r"]
    best, worst = gallery.best_and_worst(scores, splits.test.labels, NUM_BEST, NUM_WORST)
    some = figures.evenly_spaced(np.arange(len(splits.test)), NUM_QUERIES)
    for name, rows in (("retrieval", some), ("best_queries", best), ("worst_queries", worst)):
        if len(rows):
            _draw_gallery(splits, test, rows, folder / f"{name}.png")


def _draw_gallery(splits, test, rows, path):
    asked, searched = splits.test, splits.test if test.gallery is None else splits.gallery
    scores = test.query_scores["map_at_r"][rows]
    counts, found = test.query_scores["num_matches"][rows], _neighbors(test, rows)
    gallery.retrieval_gallery(
        asked.to_draw,
        asked.labels,
        found,
        path,
        queries=rows,
        gallery_images=searched.to_draw,
        gallery_labels=np.arange(len(searched)),
        class_names={index: searched.names_of(index) for index in found.reshape(-1)},
        right=_share(asked.all_labels[rows], searched.all_labels[found]),
        titles=[
            f"{asked.names_of(row)}: "
            + (f"AP {100 * score:.1f} %, R = {count}" if count else "no match")
            for row, score, count in zip(rows, scores, counts, strict=True)
        ],
    )


def _share(labels, others):
    """Tells which of some images match another: labels [rows, ...] and [rows, k, ...]."""
    if labels.ndim == 1:
        return labels[:, None] == others
    return (labels[:, None] & others).any(axis=-1)


def _neighbors(test, rows):
    """The nearest images of some queries, none of which is the query itself, int [rows, k]."""
    query = test.query[rows]
    if test.gallery is not None:
        return metrics.nearest(query, test.gallery, min(NUM_NEIGHBORS, len(test.gallery)))[0]
    count = min(NUM_NEIGHBORS + 1, len(test.query))
    found = metrics.nearest(query, test.query, count)[0]
    # One more than is shown: among equal images the query need not come first.
    others = [own[own != row][: count - 1] for own, row in zip(found, rows, strict=True)]
    return np.array(others)
