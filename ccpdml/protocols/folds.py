"""Scores of the models that were each trained on all class folds but one.

*Separated*: the mean of the models' own scores. *Concatenated*: one score of the embeddings put
side by side. With R repeats of F folds, every choice of one repeat per fold is a concatenation,
R^F of them; R of them have no model in common.

Source: the benchmark protocol of Musgrave, Belongie and Lim (2020), as the supplement (2.1) has it.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tqdm

from ccpdml import metrics


def separated(runs: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Summarizes the models' own test scores: a repeat counts with the mean of its folds.

    Args:
        runs: `results.json` dictionaries by repeat and fold, [num_repeats][num_folds].

    Returns:
        Dict from score name to `summarize`.
    """
    return {
        name: metrics.summarize([np.mean([run["test"][name] for run in folds]) for folds in runs])
        for name in metrics.names.LABELS
    }


def concatenate(parts):
    """Puts embeddings side by side, each normalized, and normalizes the whole.

    Args:
        parts: list of float [n, dim].

    Returns:
        float32 [n, sum of dims] of length 1.
    """
    return _unit(np.concatenate([_unit(part) for part in parts], axis=-1))


def concatenated(
    embeddings: Sequence[Sequence[np.ndarray]],
    labels: npt.ArrayLike,
    gallery: Sequence[Sequence[np.ndarray]] | None = None,
    gallery_labels: npt.ArrayLike | None = None,
    max_choices: int = 81,
) -> dict[str, Any]:
    """Summarizes the scores of concatenated models.

    The summary is of the R concatenations of models of one repeat. They share no model, so that
    their interval says how far the mean of other repeats may lie. The scores of every choice of
    one repeat per fold, which the original reports, hang together; they are summarized aside.

    Args:
        embeddings: test embeddings by repeat and fold, [num_repeats][num_folds] of float [n, dim].
        labels: classes of the test images, int [n].
        gallery: likewise, of the gallery; None searches among the test images.
        gallery_labels: classes of the gallery.
        max_choices: of the choices that mix repeats, at most so many are scored: a random sample,
            the same each time.

    Returns:
        Dict from score name to `summarize`, and in it under 'choices' a dict of the mean, standard
        deviation, best, worst and count of all choices scored.
    """

    def score(choice):
        sides = [
            concatenate([side[repeat][fold] for fold, repeat in enumerate(choice)])
            for side in (embeddings, gallery)
            if side is not None
        ]
        given = () if gallery is None else (sides[1], gallery_labels)
        scores = metrics.retrieval(sides[0], labels, *given)
        return {name: scores[name] for name in metrics.names.LABELS}

    unmixed, mixed = _choices(len(embeddings), len(embeddings[0]), max_choices)
    scores = [score(choice) for choice in tqdm.tqdm(unmixed + mixed, "concatenations")]
    summary = {}
    for name in metrics.names.LABELS:
        values = [each[name] for each in scores]
        summary[name] = metrics.summarize(values[: len(unmixed)]) | {"choices": _spread(values)}
    return summary


def _choices(num_repeats, num_folds, max_choices):
    """Choices of one repeat per fold: the R of one repeat, and (at most some of) those that mix."""
    unmixed = [(repeat,) * num_folds for repeat in range(num_repeats)]
    mixed = [
        choice
        for choice in itertools.product(range(num_repeats), repeat=num_folds)
        if len(set(choice)) > 1
    ]
    room = max(0, max_choices - num_repeats)
    if len(mixed) > room:
        rows = np.random.default_rng(0).choice(len(mixed), room, replace=False)
        mixed = [mixed[row] for row in sorted(rows)]
    return unmixed, mixed


def _spread(values):
    values = np.asarray(values, np.float64)
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else None,
        "best": float(values.max()),
        "worst": float(values.min()),
        "count": len(values),
    }


def _unit(x):
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return (x / np.maximum(length, 1e-12)).astype(np.float32)
