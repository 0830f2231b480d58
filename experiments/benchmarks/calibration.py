"""Do thresholds hold on other classes? Calibrated on validation classes, measured on test classes.

CCPDML_TYPEFACES=... python experiments/benchmarks/calibration.py --gin_file=gin/characters_ms.gin

Each seed draws other characters: of the first half a third is trained on briefly, and the rest
validates; the second half tests. Thresholds are found on the validation classes, with the interval
in which the false-match rate of as many classes as test should lie; then it is measured on these.
Prints a table for the docs. The runs are kept in `--out`, and not made again.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

from ccpdml import data, serving

FLAGS = flags.FLAGS
flags.DEFINE_string("gin_file", "gin/characters_ms.gin", "What is trained.")
flags.DEFINE_integer("num_classes", 800, "Characters of a seed.")
flags.DEFINE_integer("steps", 1500, "Steps of a run.")
flags.DEFINE_integer("num_seeds", 5, "Runs.")
flags.DEFINE_list("rates", ["0.001", "0.01", "0.05"], "False-match rates to calibrate for.")
flags.DEFINE_string("out", "runs/calibration", "Folder of the runs.")

ROOT = Path(__file__).resolve().parents[2]
NUM_FOLDS = 2  # One to train on, one to calibrate on.
IMAGES_PER_CLASS = 10


def main(_):
    rows = [row for seed in range(FLAGS.num_seeds) for row in of_seed(seed)]
    inside = {wanted: [row[-1] for row in rows if row[1] == wanted] for wanted in FLAGS.rates}
    print("| wanted | seed | threshold | interval | measured | inside? | FNMR |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for wanted in FLAGS.rates:
        for seed, of_row, distance, rate, measured, missed, is_inside in rows:
            if of_row == wanted:
                interval = f"{percent(rate.low)} to {percent(rate.high)}"
                cells = (percent(float(wanted)), seed, f"{distance:.4f}", interval)
                cells += (percent(measured), "yes" if is_inside else "no", percent(missed))
                print(f"| {' | '.join(map(str, cells))} |")
    for wanted, found in inside.items():
        print(f"{percent(float(wanted))}: {sum(found)} of {len(found)} inside")


def of_seed(seed):
    """Trains, calibrates and measures; a row for each wanted rate."""
    folder = Path(FLAGS.out) / f"{FLAGS.num_classes}-{FLAGS.steps}-{seed}"
    options = {
        "num_classes": FLAGS.num_classes,
        "num_folds": NUM_FOLDS,
        "images_per_class": IMAGES_PER_CLASS,
        "seed": seed,
    }
    if not (folder / "results.json").is_file():
        train(folder, options)
    encoder = serving.load_encoder(folder)
    splits = data.load("characters", script="hangul", **options)
    rates = [float(rate) for rate in FLAGS.rates]
    found = serving.calibrate(
        embedded(encoder, splits.validation),
        false_match_rate=rates,
        num_new_classes=splits.test.num_classes,
    )
    measured = serving.calibration.measure(embedded(encoder, splits.test), found)
    for wanted, point in zip(FLAGS.rates, found.points, strict=False):  # The last is best_f1.
        interval, rates = point.rates["false_match_rate"], measured[point.name]
        rate, missed = rates["false_match_rate"], rates["false_non_match_rate"]
        yield seed, wanted, point.distance, interval, rate, missed, rate in interval


def train(folder, options):
    bindings = [f"data.load.{name} = {value}" for name, value in options.items()]
    bindings += [
        *(f"train.steps = {FLAGS.steps}", f"train.evaluate_every = {FLAGS.steps}"),
        *("train.evaluate_untrained = False", f"train.seed = {options['seed']}"),
    ]
    command = [sys.executable, "experiments/run.py", f"--gin_file={FLAGS.gin_file}"]
    command += [f"--run_dir={folder.resolve()}"]
    command += [f"--gin_bindings={binding}" for binding in bindings]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def embedded(encoder, images):
    """The embeddings of an image set, with its classes."""
    rows = np.concatenate(
        [encoder(images.images[start : start + 512]) for start in range(0, len(images), 512)]
    )
    names = np.array(images.class_names)[images.labels]
    paths = np.arange(len(rows)).astype(str)
    return serving.Embeddings(rows, paths, names, {"encoder": encoder.info})


def percent(share):
    return f"{100 * share:.3g} %"


if __name__ == "__main__":
    app.run(main)
