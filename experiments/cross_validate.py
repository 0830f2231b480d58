"""Trains a gin file on every class fold, some times over, and scores the models apart and together.

python experiments/cross_validate.py --gin_file=gin/cub_ms.gin --repeats=3

Every run lands in RUN_DIR/fold_F_repeat_R and resumes there; the same command finishes what is
left. At the end RUN_DIR/results.json holds the table.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags, logging

from ccpdml import protocols

FLAGS = flags.FLAGS
flags.DEFINE_multi_string("gin_file", [], "As of run.py.")
flags.DEFINE_multi_string("gin_bindings", [], "As of run.py.")
flags.DEFINE_string("data_root", None, "As of run.py.")
flags.DEFINE_string("run_dir", None, "Default: runs/<name of the first gin file>_folds.")
flags.DEFINE_integer("folds", 4, "Class folds, each of which validates once.", lower_bound=2)
flags.DEFINE_integer("repeats", 1, "Runs of every fold, with different seeds.", lower_bound=1)

RUN = Path(__file__).resolve().parent / "run.py"


def train(run_dir, fold, repeat):
    """Runs one fold to its end, unless that has been done; returns its folder."""
    folder = run_dir / f"fold_{fold}_repeat_{repeat}"
    if (folder / "results.json").exists():
        return folder
    bindings = [
        *FLAGS.gin_bindings,
        f"data.load.fold = {fold}",
        f"data.load.num_folds = {FLAGS.folds}",
        f"train.seed = {repeat}",
    ]
    arguments = [f"--gin_file={path}" for path in FLAGS.gin_file]
    arguments += [f"--gin_bindings={binding}" for binding in bindings]
    arguments += [f"--data_root={FLAGS.data_root}"] if FLAGS.data_root else []
    logging.info("Fold %d, repeat %d", fold, repeat)
    done = subprocess.run(
        [sys.executable, str(RUN), f"--run_dir={folder}", *arguments], check=False
    )
    if done.returncode:
        raise SystemExit(f"{folder} ended with code {done.returncode}; the same command goes on.")
    return folder


def score(folders):
    """Scores runs by repeat and fold, [num_repeats][num_folds] of folders."""
    runs = [[json.loads((f / "results.json").read_text()) for f in row] for row in folders]
    stored = [[np.load(f / "test_embeddings.npz") for f in row] for row in folders]
    first = stored[0][0]
    gallery = "gallery" in first.files
    return {
        "dataset": runs[0][0]["dataset"],
        "method": runs[0][0]["method"],
        "loss": runs[0][0]["loss"],
        "folds": FLAGS.folds,
        "repeats": FLAGS.repeats,
        "fold_definition": runs[0][0]["split"]["folds"],
        "separated": protocols.separated(runs),
        "concatenated": protocols.concatenated(
            [[part["query"] for part in row] for row in stored],
            first["query_labels"],
            [[part["gallery"] for part in row] for row in stored] if gallery else None,
            first["gallery_labels"] if gallery else None,
        ),
    }


def main(_):
    if not FLAGS.gin_file:
        raise app.UsageError("--gin_file is needed, e.g. --gin_file=gin/glyphs_ms.gin")
    run_dir = Path(FLAGS.run_dir or f"runs/{Path(FLAGS.gin_file[0]).stem}_folds")
    folders = [
        [train(run_dir, fold, repeat) for fold in range(FLAGS.folds)]
        for repeat in range(FLAGS.repeats)
    ]
    results = score(folders)
    (run_dir / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"{'':<14}{'MAP@R':>16}{'P@1':>16}{'P@R':>16}")
    for kind in ("separated", "concatenated"):
        cells = [results[kind][name] for name in ("map_at_r", "precision_at_1", "r_precision")]
        print(f"{kind:<14}" + "".join(f"{spell(cell):>16}" for cell in cells))


def spell(summary):
    """A mean and its spread in percent."""
    spread = f" ± {100 * summary['std']:.2f}" if summary["std"] is not None else ""
    return f"{100 * summary['mean']:.2f}{spread}"


if __name__ == "__main__":
    app.run(main)
