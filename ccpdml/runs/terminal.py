"""Lines for people: what a run will do, log lines above its bar, what came of it."""

import errno
import io
import logging as standard_logging
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tqdm
from absl import logging

from ccpdml import config, metrics

if TYPE_CHECKING:
    from ccpdml.runs.experiment import Experiment

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = "A closed set: the classes that are tested were trained on, their test images were not."


class _AboveBars(io.TextIOBase):
    """A stream that puts lines on standard error, above progress bars."""

    def write(self, text: str) -> int:
        if text.strip():
            tqdm.tqdm.write(text.rstrip("\n"), file=sys.stderr)
        return len(text)


def log_above_bars() -> None:
    """Has log lines of this process appear above progress bars, with the time of day in front."""
    handler = logging.get_absl_handler().python_handler
    handler.stream = _AboveBars()
    handler.setFormatter(
        standard_logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    )


def tell(lines: Iterable[str]) -> None:
    """Prints lines, on a terminal broken between words; not those of a table or command.

    Elsewhere, as in a file, each stays one line.
    """
    if sys.stdout.isatty():
        width = max(40, shutil.get_terminal_size().columns)
        lines = [part for line in lines for part in _broken(line, width)]
    print("\n".join(lines), flush=True)


def _broken(line, width):
    heading = re.match(r"\w+ {2,}|", line)[0]  # Such as of `opening`: the rest stays beside it.
    if line.startswith("  ") or len(line) <= width:
        return [line]
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * len(heading),
        break_long_words=False,
        break_on_hyphens=False,
    )


def opening(experiment: "Experiment") -> Iterator[str]:
    """Lines on what an `Experiment` will do and where it writes."""
    splits = experiment.splits
    parts = [
        f"{images.num_classes} classes to {purpose}"
        for purpose, images in (
            ("train on", splits.train),
            ("choose the weights on", splits.validation),
            ("test on", splits.test),
        )
        if images is not None
    ]
    place = experiment.data["root"] or "images in memory"
    yield f"data       {splits.info.get('name', 'own')}, {place}: {', '.join(parts)}"
    if splits.info.get("closed_set"):
        yield f"           {_CLOSED}"
    yield f"method     {experiment.recipe.model.criterion.__name__}"
    yield (
        f"steps      {experiment.recipe.schedule.steps:,} of {experiment.prepared.batch_size} "
        "images, evaluated every "
        f"{experiment.steps_per_epoch}, on {_devices(experiment.strategy)}"
    )
    yield f"directory  {experiment.run_dir}, {experiment.state}"


def closing(experiment: "Experiment", results: dict[str, Any]) -> Iterator[str]:
    """The results of an `Experiment` and what to do with them, as lines."""
    untrained = results.get("untrained", {})
    if results.get("trained") is False:
        yield from _of_scores(untrained)
        yield (
            f"Scored are {untrained['measured']}. Nothing was trained: without --baseline_only the "
            "same command trains, and sets its scores beside these."
        )
        return
    scores = {name: results[name] for name in ("test", "validation") if name in results}
    yield from _of_scores(scores, untrained)
    if untrained:
        yield f"Untrained are {untrained['measured']}."
    if results["split"].get("closed_set"):
        yield _CLOSED
    elif "validation" in scores:
        yield (
            "The test scores are the result. The validation classes chose the weights (of step "
            f"{results['best_step']:,}), which flatters their scores, and are other classes, which "
            "may be easier or harder."
        )
    else:
        yield (
            f"The test classes chose the weights (of step {results['best_step']:,}), which "
            "flatters these scores."
        )
    yield from (f"ALARM: {alarm}" for alarm in results["alarms"])
    yield f"All of it is in {experiment.run_dir}: results.json, figures/, encoder.keras. Next:"
    run_dir = shlex.quote(str(experiment.run_dir))
    yield f"  ccpdml report {run_dir}"
    if experiment.splits.info.get("features_of"):
        yield f"  ccpdml export --encoder={run_dir} --features=FOLDER --format=keras --output=whole"
    elif experiment.splits.test.images.ndim not in (2, 3):  # Not of features from elsewhere.
        yield f"  ccpdml embed --encoder={run_dir} --images=FOLDER --output=images.npz"


def _of_scores(scores, untrained=()):
    """A table of scores by part of the data, with those before training below each."""
    parts = {part: scores[part] for part in ("test", "validation") if part in scores}
    keys = metrics.names.present(parts["test"])
    yield f"{'in percent':<14}" + "".join(f"{metrics.names.label(key):>8}" for key in keys)
    for part, values in parts.items():
        yield _row(part, values, keys)
        if part in untrained:
            before = untrained[part]
            yield _row("  untrained", before, keys)
            yield _row("  difference", metrics.gain.gains(values, before), keys, sign="+")


def _row(title, values, keys, sign=""):
    cells = [f"{100 * values[key]:{sign}.1f}" if key in values else "" for key in keys]
    return f"{title:<14}" + "".join(f"{cell:>8}" for cell in cells)


def told(error: Exception) -> str:
    """Text of an error: the message, and the cure where the system gives none."""
    notes = getattr(error, "__notes__", [])
    if isinstance(error, tf.errors.OpError):  # The lines that follow are of its own insides.
        message = f"{error.message.splitlines()[0]} (--verbosity=1 shows more)"
    else:
        message = config.message(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        message += " The disk or a quota is full: make room, and give the same command again."
    return " ".join([message, *notes])


def _devices(strategy):
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    count = strategy.num_replicas_in_sync
    return f"{count} {kind}{'s' if count > 1 else ''}"
