"""Compares what may train of a trained transformer: nothing, a head, low-rank additions, all.

CCPDML_TYPEFACES=folder python experiments/adaptation.py --out=runs/adaptation --jobs=2

A small vision transformer is trained on clean characters and goes on with noisy, half of the time
inverted ones of other classes, in each of these ways at each of two learning rates. Finished runs
are not run again. Writes <out>/table.md: mean and standard deviation over `--seeds` draws of
classes, weights and batches, of which there have to be two or more.
"""

import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/adaptation", "Folder of the runs.")
flags.DEFINE_list("seeds", ["0", "1", "2"], "Draws.")
flags.DEFINE_list("rates", ["1e-3", "3e-3"], "Learning rates.")
flags.DEFINE_integer("jobs", 1, "Runs at a time.", lower_bound=1)

ROOT = Path(__file__).resolve().parent.parent
NUM_CLASSES = (
    1680  # Of a draw; no two draws share one, nor one with those trained on before (1,000).
)
WAYS = {
    "head": ["build_encoder.backbone = @frozen", "frozen.backbone = @trained_network"],
    "lora": ["build_encoder.backbone = @lora", "lora.backbone = @trained_network"],
    "all": [],
}


def main(_):
    if len(FLAGS.seeds) < 2:
        raise SystemExit(f"--seeds: expected two draws or more. Received: {FLAGS.seeds}")
    out = Path(FLAGS.out)
    train(out / "pretrain", "characters_pretrain_vit", ["train.tensorboard = False"])
    runs = {
        (way, rate, seed): out / f"{way}-rate={rate}-{seed}"
        for way in WAYS
        for rate in FLAGS.rates
        for seed in FLAGS.seeds
    }
    with concurrent.futures.ThreadPoolExecutor(FLAGS.jobs) as pool:
        list(pool.map(lambda item: train(item[1], *settings(out, *item[0])), runs.items()))
    found = {name: json.loads((run / "results.json").read_text()) for name, run in runs.items()}
    table = "\n".join(rows(found)) + "\n"
    (out / "table.md").write_text(table)
    print(table)


def settings(out, way, rate, seed):
    """Gin file and bindings of a run."""
    return "characters_fine_tune_vit", [
        *WAYS[way],
        f"trained_network.path = '{out / 'pretrain'}'",
        f"tf.keras.optimizers.Adam.learning_rate = {rate}",
        f"data.load.first_class = {1000 + int(seed) * NUM_CLASSES}",
        f"train.seed = {seed}",
        "train.tensorboard = False",
    ]


def train(run_dir, name, bindings):
    """Trains a run to its end in a process of its own, if it is not finished."""
    if (run_dir / "results.json").is_file():
        return
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), f"--run_dir={run_dir}"]
    command += [f"--gin_file={ROOT / 'gin' / name}.gin"]
    command += [f"--gin_bindings={binding}" for binding in bindings]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{run_dir}: {done.stderr[-2000:]}")


def rows(found):
    """Lines of the table."""
    yield "| what trains | learning rate | validation MAP@R | test MAP@R | over step 0 | test P@1 |"
    yield "| --- | --- | --- | --- | --- | --- |"
    first = [found["all", FLAGS.rates[0], seed]["untrained"] for seed in FLAGS.seeds]
    yield row("nothing (step 0)", "", first, "")
    for way in WAYS:
        for rate in FLAGS.rates:
            runs = [found[way, rate, seed] for seed in FLAGS.seeds]
            gains = [
                100 * (each["test"]["map_at_r"] - each["untrained"]["test"]["map_at_r"])
                for each in runs
            ]
            yield row(way, rate, runs, f"{statistics.mean(gains):+.1f}")


def row(way, rate, scores, gain):
    """One line: means and standard deviations in percent."""
    validation = spread([each["validation"]["map_at_r"] for each in scores])
    test = spread([each["test"]["map_at_r"] for each in scores])
    precision = spread([each["test"]["precision_at_1"] for each in scores])
    return f"| {way} | {rate} | {validation} | {test} | {gain} | {precision} |"


def spread(scores):
    """Mean and standard deviation in percent."""
    scores = [100 * score for score in scores]
    return f"{statistics.mean(scores):.1f} ± {statistics.stdev(scores):.1f}"


if __name__ == "__main__":
    app.run(main)
