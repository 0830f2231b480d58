"""Time and memory of class-balanced sampling at the size of Stanford Online Products.

python experiments/benchmarks/sampler.py
"""

import statistics
import time
import tracemalloc

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("batches", 5000, "Batches to draw.")

NUM_CLASSES = 11_318
NUM_IMAGES = 59_551


def main(argv):
    del argv
    from ccpdml.data import samplers

    rng = np.random.default_rng(0)
    extra = rng.integers(NUM_CLASSES, size=NUM_IMAGES - 2 * NUM_CLASSES)
    labels = np.concatenate([np.arange(NUM_CLASSES), np.arange(NUM_CLASSES), extra])
    for classes_per_batch, samples_per_class in ((8, 4), (32, 1)):
        for copies in (1, 10):
            repeated = np.tile(labels, copies)
            tracemalloc.start()
            sampler = samplers.ClassBalancedSampler(
                repeated, classes_per_batch, samples_per_class, seed=0
            )
            for step in range(100):
                sampler.batch(step)
            megabytes = (tracemalloc.get_traced_memory()[0] - 8 * len(repeated)) / 1e6
            tracemalloc.stop()
            print(
                f"{classes_per_batch} x {samples_per_class} of {len(repeated)} images: built in "
                f"{_build(repeated, classes_per_batch, samples_per_class):.3f} s, "
                f"{_batch(sampler):.3f} ms per batch, {megabytes:.1f} MB beyond the index"
            )


def _build(labels, *shape):
    from ccpdml.data import samplers

    start = time.perf_counter()
    samplers.ClassBalancedSampler(labels, *shape)
    return time.perf_counter() - start


def _batch(sampler):
    """Median milliseconds per batch."""
    times = []
    for step in range(FLAGS.batches):
        start = time.perf_counter()
        sampler.batch(step)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    app.run(main)
