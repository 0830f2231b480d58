"""Time and memory of class-balanced sampling at the size of Stanford Online Products.

python experiments/benchmarks/sampler.py
python experiments/benchmarks/sampler.py --categories=12
"""

import functools
import statistics
import time
import tracemalloc

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("batches", 5000, "Batches to draw.")
flags.DEFINE_integer(
    "categories", 0, "Categories, of which two are in a batch; 0 draws classes of all.", 0
)

NUM_CLASSES = 11_318
NUM_IMAGES = 59_551


def main(argv):
    del argv
    make = _sampler()
    rng = np.random.default_rng(0)
    extra = rng.integers(NUM_CLASSES, size=NUM_IMAGES - 2 * NUM_CLASSES)
    labels = np.concatenate([np.arange(NUM_CLASSES), np.arange(NUM_CLASSES), extra])
    for classes_per_batch, samples_per_class in ((8, 4), (32, 1)):
        for copies in (1, 10):
            repeated = np.tile(labels, copies)
            tracemalloc.start()
            sampler = make(repeated, classes_per_batch, samples_per_class)
            for step in range(100):
                sampler.batch(step)
            megabytes = (tracemalloc.get_traced_memory()[0] - 8 * len(repeated)) / 1e6
            tracemalloc.stop()
            print(
                f"{classes_per_batch} x {samples_per_class} of {len(repeated)} images: built in "
                f"{_build(make, repeated, classes_per_batch, samples_per_class):.3f} s, "
                f"{_batch(sampler):.3f} ms per batch, {megabytes:.1f} MB beyond the index"
            )


def _sampler():
    """Class of the sampler, with the categories if there are some."""
    from ccpdml.data import samplers

    if not FLAGS.categories:
        return samplers.ClassBalancedSampler
    categories = [f"category {number % FLAGS.categories}" for number in range(NUM_CLASSES)]
    return functools.partial(samplers.CategoryBalancedSampler, categories=categories)


def _build(make, labels, *shape):
    start = time.perf_counter()
    make(labels, *shape)
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
