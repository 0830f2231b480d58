"""What stored features save, and what they need: images per second, and memory at a million.

python experiments/benchmarks/stored_features.py --out=runs/stored_features

First the same head is trained, in turn, through a frozen ResNet-50 (random weights, 224 x 224
pixels in memory) and on its stored features; images per second, medians of `--repeats`. Then a run
of gin/features_ms.gin, a process of its own, on `--rows` made-up vectors of 768 entries that are
mapped from files: seconds, and the process's memory of its own and of mapped files at their peaks.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags

from ccpdml import data, layers, losses, models, training

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/stored_features", "Folder of vectors and runs.")
flags.DEFINE_integer("rows", 1_000_000, "Vectors.")
flags.DEFINE_integer("steps", 500, "Steps of the run on them.")
flags.DEFINE_integer("repeats", 5, "Measurements.")

ROOT = Path(__file__).resolve().parents[2]
DIM, SHARD, PER_CLASS = 768, 50_000, 100
CLASSES_PER_BATCH, SAMPLES_PER_CLASS = 8, 4


def main(_):
    compare()
    folder = Path(FLAGS.out) / f"vectors-{FLAGS.rows}"
    write_vectors(folder)
    run(folder)


def compare():
    """Prints images per second of a head through the network and on stored features."""
    batch_size = CLASSES_PER_BATCH * SAMPLES_PER_CLASS
    pixels = np.random.default_rng(0).integers(256, size=(64, 224, 224, 3), dtype=np.uint8)
    network = models.resnet50((224, 224, 3), weights=None)
    network.trainable = False
    pooled = tf.keras.Sequential([network, layers.GlobalPooling("avg")])
    features = pooled.predict(models.standardize(pixels), verbose=0)
    head = models.feature_head(features.shape[1:])
    inputs = tf.keras.Input((224, 224, 3))
    whole = tf.keras.Model(inputs, models.feature_head(features.shape[1:])(pooled(inputs)))
    labels = np.repeat(np.arange(16), SAMPLES_PER_CLASS)
    names = tuple(map(str, range(16)))
    learners = {
        "through ResNet-50": (
            learner(whole, models.standardize),
            data.ImageSet(pixels, labels, names),
            4,
        ),
        "on stored features": (learner(head, None), data.ImageSet(features, labels, names), 1000),
    }
    speeds = {name: [] for name in learners}
    for repeat in range(FLAGS.repeats + 1):
        for name, (model, images, steps) in learners.items():
            sampler = data.samplers.ClassBalancedSampler(
                images.labels, CLASSES_PER_BATCH, SAMPLES_PER_CLASS, seed=repeat
            )
            batches = data.pipelines.training_batches(
                images, sampler, data.views.Plain(), num_steps=steps
            )
            begun = time.perf_counter()
            model.fit(batches, verbose=0)
            if repeat:  # The first one traces.
                speeds[name].append(steps * batch_size / (time.perf_counter() - begun))
    medians = {name: float(np.median(values)) for name, values in speeds.items()}
    for name, median in medians.items():
        print(f"{name}: {median:,.1f} images/s")
    slow, fast = medians.values()
    print(f"ratio {fast / slow:,.0f}")


def learner(encoder, preprocess):
    """A compiled learner of 16 classes with 8 proxies each."""
    criterion = losses.ChanceConstrainedLoss(losses.MultiSimilarityLoss(), 16, proxies_per_class=8)
    built = training.MetricLearner(encoder, criterion, preprocess=preprocess)
    built.compile(tf.keras.optimizers.Adam(1e-3), steps_per_execution=4)
    return built


def write_vectors(folder):
    """Made-up vectors around one center a class, 95 % of the classes to train on."""
    if (folder / "labels.npy").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    labels = np.arange(FLAGS.rows) // PER_CLASS
    centers = rng.normal(size=(labels[-1] + 1, DIM)).astype(np.float32)
    for place, start in enumerate(range(0, FLAGS.rows, SHARD)):
        own = labels[start : start + SHARD]
        noise = rng.normal(size=(len(own), DIM)).astype(np.float32)
        np.save(folder / f"features-{place:05d}.npy", centers[own] + noise)
    share = labels / labels[-1]
    np.save(
        folder / "split.npy", np.select([share < 0.95, share < 0.975], ["train", "val"], "test")
    )
    np.save(folder / "labels.npy", labels)


def run(folder):
    """Runs a process to its end and prints its seconds and memory."""
    command = [sys.executable, ROOT / "experiments" / "run.py", f"--data_root={folder}"]
    command += [f"--gin_file={ROOT / 'gin' / 'features_ms.gin'}", f"--run_dir={folder}-run"]
    bindings = [f"train.steps = {FLAGS.steps}", f"train.evaluate_every = {FLAGS.steps // 2}"]
    command += [f"--gin_bindings={binding}" for binding in bindings]
    begun, peaks = time.perf_counter(), {"RssAnon": 0, "RssFile": 0}
    with subprocess.Popen(command) as process:
        watch = threading.Thread(target=watch_memory, args=(process, peaks))
        watch.start()
        process.wait()
        watch.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    size = FLAGS.rows * DIM * 4 / 2**30
    print(f"{FLAGS.rows:,} vectors of {DIM}, {size:.2f} GiB: {time.perf_counter() - begun:.0f} s")
    for name, kib in peaks.items():
        print(f"  peak {name}: {kib / 2**20:.2f} GiB")


def watch_memory(process, peaks):
    """Keeps the largest of what the system says of a process's memory, in KiB."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name in peaks:
                peaks[name] = max(peaks[name], int(value.split()[0]))
        time.sleep(0.2)


if __name__ == "__main__":
    app.run(main)
