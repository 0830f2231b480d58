"""Trains a gin file on every class fold, some times over, and scores the models apart and together.

ccpdml cross-validate --gin_file=gin/cub_ms.gin --repeats=3

Every run lands in RUN_DIR/fold_F_repeat_R. Whatever stopped it, the same command finishes what is
left; given on several machines that share RUN_DIR, or several times on one, it shares the runs out.
At the end RUN_DIR/results.json holds the table.

Exit codes: 0 done; 1 a mistake or a failure of a run; 75 stopped by SIGTERM, as run.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gin
import numpy as np
from absl import app, flags, logging

import quiet

FLAGS = flags.FLAGS
flags.DEFINE_multi_string("gin_file", [], "As of run.py.")
flags.DEFINE_multi_string("gin_bindings", [], "As of run.py.")
flags.DEFINE_string("data_root", None, "As of run.py.")
flags.DEFINE_string("run_dir", None, "Default: runs/<name of the first gin file>_folds.")
flags.DEFINE_integer("folds", 4, "Class folds, each of which validates once.", lower_bound=2)
flags.DEFINE_integer("repeats", 1, "Runs of every fold; each has a seed of its own.", lower_bound=1)
flags.DEFINE_integer("max_choices", 81, "Concatenations to score, a sample if there are more.")
flags.DEFINE_bool("dry_run", False, "Check every configuration, print the first run's plan.")

RUN = Path(__file__).resolve().parent / "run.py"
SECONDS_BETWEEN_LOOKS = 5


def bindings(fold, repeat):
    """What makes a run this fold and repeat."""
    return [
        *FLAGS.gin_bindings,
        f"data.load.fold = {fold}",
        f"data.load.num_folds = {FLAGS.folds}",
        # One of its own for every run: models that start alike err alike, and gain less together.
        f"train.seed = {repeat * FLAGS.folds + fold}",
    ]


def command(run_dir, fold, repeat):
    """The command line of one run."""
    arguments = [f"--run_dir={folder_of(run_dir, fold, repeat)}"]
    arguments += [f"--gin_file={path}" for path in FLAGS.gin_file]
    arguments += [f"--gin_bindings={binding}" for binding in bindings(fold, repeat)]
    arguments += [f"--data_root={FLAGS.data_root}"] if FLAGS.data_root else []
    return [sys.executable, str(RUN), *arguments]


def folder_of(run_dir, fold, repeat):
    """Where a run lands."""
    return run_dir / f"fold_{fold}_repeat_{repeat}"


def check(run_dir, runs):
    """Refuses a configuration that cannot be run, and one or data that begun runs do not have."""
    from ccpdml import config
    from ccpdml.data import identity
    from ccpdml.training import claims

    described = {}
    for fold, repeat in runs:
        gin.clear_config()
        config.load(FLAGS.gin_file, bindings(fold, repeat))
        folder = folder_of(run_dir, fold, repeat)
        if (folder / config.FILE_NAME).exists():
            if fold not in described:  # The repeats of a fold are of the same data.
                load_data = gin.query_parameter("train.data").scoped_configurable_fn
                described[fold] = identity.of(load_data())
            claims.refuse_other(folder, described[fold])


def train_all(run_dir, runs):
    """Returns when every run is finished, here or in another process that shares the directory."""
    left = runs
    while left:
        active = [run for run in left if not finish(run_dir, *run)]
        if active == left:
            logging.info("%d runs are left, all active in other processes", len(active))
            time.sleep(SECONDS_BETWEEN_LOOKS)
        left = active


def finish(run_dir, fold, repeat):
    """Runs one fold to its end, unless that has been done; False if another process is at it."""
    from ccpdml.cluster import lock
    from ccpdml.reports import records
    from ccpdml.training import preemption

    if records.are_of_a_finished_run(folder_of(run_dir, fold, repeat) / records.RESULTS):
        return True
    logging.info("Fold %d, repeat %d", fold, repeat)
    process = subprocess.Popen(command(run_dir, fold, repeat))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if code == preemption.EXIT_CODE:
        raise SystemExit(code)
    if code not in (0, lock.EXIT_CODE):
        raise SystemExit(
            f"ERROR: Fold {fold}, repeat {repeat} ended with code {code}; what it said is above. "
            "The same command goes on from what is finished."
        )
    return code == 0


def score(run_dir):
    """The table of all runs, which holds nothing that differs from one time to the next."""
    from ccpdml import protocols
    from ccpdml.reports import records

    folders = [
        [folder_of(run_dir, fold, repeat) for fold in range(FLAGS.folds)]
        for repeat in range(FLAGS.repeats)
    ]
    runs = [[records.read_results(f / records.RESULTS) for f in row] for row in folders]
    tests = {json.dumps(run["split"]["data"]["parts"]["test"]) for row in runs for run in row}
    if len(tests) > 1:
        raise SystemExit(
            f"ERROR: The runs in {run_dir} were tested on {len(tests)} sets of images."
        )
    stored = [[np.load(f / "test_embeddings.npz") for f in row] for row in folders]
    first = runs[0][0]
    return {
        **{key: first[key] for key in ("dataset", "method", "loss", "selected_on")},
        "dim": stored[0][0]["query"].shape[1],
        "folds": FLAGS.folds,
        "repeats": FLAGS.repeats,
        "fold_definition": first["split"]["folds"],
        "separated": protocols.separated(runs),
        "concatenated": protocols.concatenated(*sides(stored), FLAGS.max_choices),
        "runs": [
            {"fold": fold, "repeat": repeat, "best_step": run["best_step"], "test": run["test"]}
            for repeat, row in enumerate(runs)
            for fold, run in enumerate(row)
        ],
    }


def sides(stored):
    """Query embeddings and labels, gallery embeddings and labels (None if there is no gallery)."""
    found = []
    for side in ("query", "gallery"):
        there = side in stored[0][0].files
        found.append([[part[side] for part in row] for row in stored] if there else None)
        found.append(stored[0][0][f"{side}_labels"] if there else None)
    return found


def table(results):
    """The means and spreads, in percent, as lines."""
    from ccpdml.metrics import names

    yield f"{'':<14}" + "".join(f"{label:>30}" for label in names.LABELS.values())
    for kind in ("separated", "concatenated"):
        cells = [results[kind][name] for name in names.LABELS]
        yield f"{kind:<14}" + "".join(f"{spell(cell):>30}" for cell in cells)
    yield "mean ± standard deviation over repeats [95 % confidence interval of the mean]"


def spell(summary):
    mean, std, low, high = (summary[key] for key in ("mean", "std", "low", "high"))
    if std is None:
        return f"{100 * mean:.2f}"
    return f"{100 * mean:.2f} ± {100 * std:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


def main(_):
    quiet.import_tensorflow()
    from ccpdml import config, files

    if not FLAGS.gin_file:
        raise app.UsageError("--gin_file is needed, e.g. --gin_file=gin/glyphs_ms.gin")
    if FLAGS.data_root:
        os.environ["CCPDML_DATA"] = FLAGS.data_root
    run_dir = Path(FLAGS.run_dir or f"runs/{Path(FLAGS.gin_file[0]).stem}_folds")
    runs = [(fold, repeat) for repeat in range(FLAGS.repeats) for fold in range(FLAGS.folds)]
    try:
        check(run_dir, runs)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"ERROR: {config.message(error)}") from None
    if FLAGS.dry_run:
        raise SystemExit(subprocess.call([*command(run_dir, *runs[0]), "--dry_run"]))
    train_all(run_dir, runs)
    results = score(run_dir)
    files.write_text(run_dir / "results.json", json.dumps(results, indent=1) + "\n")
    print("\n".join(table(results)))


if __name__ == "__main__":
    app.run(main)
