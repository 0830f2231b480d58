"""Reasons why a run may not be set beside a row of the paper's tables."""

from collections.abc import Callable, Iterable
from typing import Any

from ccpdml.reports import runs

FOLDS, FOLD_DEFINITION = 4, "ccp"
# Bindings that say which run of a protocol it is, where it runs and what it writes. What the folds
# and the data were is read from its results.
FREE = {
    *("load.fold", "load.num_folds", "load.root", "load.skip_corrupt", "load.verify_counts"),
    *("train.seed", "train.strategy", "train.deterministic", "train.steps_per_loop"),
    *("train.evaluation_batch_size", "train.checkpoint_every"),
    *("train.recall_at", "train.tensorboard", "train.tracker", "train.evaluate_untrained"),
}


def obstacles(
    item: runs.Run | runs.CrossValidation,
    row: dict[str, Any] | None,
    settings: Callable[[str], dict[str, Any]] | None,
) -> Iterable[str]:
    """Says what keeps a run or cross-validation from being compared.

    Args:
        item: what was run, as it is told by the files that it left.
        row: the row of `published.rows` of the same name, or None if there is none.
        settings: function of the name of a gin file -> its bindings, as `runs.bindings`; None if
            the files are not at hand.

    Yields:
        Reasons, str; none if nothing is in the way.
    """
    parts = item.runs if isinstance(item, runs.CrossValidation) else [item]
    if any("test" in part.results.get("selected_on", "") for part in parts):
        yield "the best weights were selected on test classes"
    if any(is_closed(part) for part in parts):
        yield "the classes that are tested were trained on (a closed set)"
    if row is None:
        return
    yield from _other_protocol(item)
    if not all(part.results.get("split", {}).get("counts_verified") for part in parts):
        yield (
            "nothing says that its images are the published ones, number by number "
            "(`data.load.verify_counts`)"
        )
    if settings is None:
        yield f"the settings of {row['file']} are not at hand"
    else:
        yield from _other_settings(item.config, settings(row["file"]), row["file"])


def is_closed(run: runs.Run) -> bool:
    """Tells whether a run was tested on classes that it was trained on, as its results say."""
    return bool(run.results.get("split", {}).get("closed_set"))


def _other_protocol(item):
    if isinstance(item, runs.Run):
        yield (
            f"it is a model of one fold, published are {FOLDS} models of {FOLDS} folds "
            "(`ccpdml cross-validate`)"
        )
        return
    folds, definition = item.results["folds"], item.results.get("fold_definition")
    if (folds, definition) != (FOLDS, FOLD_DEFINITION):
        yield (
            f"its folds are {folds} of the definition {definition!r}, published are {FOLDS} of "
            f"{FOLD_DEFINITION!r}"
        )


def _other_settings(config, row_config, file):
    if not config:
        yield "it has no `config.gin`, which says its settings"
        return
    for name in sorted((config.keys() | row_config.keys()) - FREE):
        ours, theirs = (known.get(name, "not bound") for known in (config, row_config))
        if ours != theirs:
            yield f"`{name}` is {ours}, in {file} {theirs}"
