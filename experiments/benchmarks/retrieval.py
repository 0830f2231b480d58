"""Compares exact retrieval with the bare matrix product it needs: time, CPU time, memory.

The product is by the fastest of NumPy and TensorFlow, whole and one thread each, in several sizes
of tiles; what each takes is printed.

python experiments/benchmarks/retrieval.py                                    # SOP's test set
python experiments/benchmarks/retrieval.py --dim=512
python experiments/benchmarks/retrieval.py --num_images=1000000 --num_classes=100000 \
    --query_share=0.0625 --max_memory_mib=1024                                # slice of queries
python experiments/benchmarks/retrieval.py --repeats=1 --torch_python=/path/to/python
    also scores the same arrays with pytorch-metric-learning's AccuracyCalculator and faiss, which
    that Python must have.
"""

import json
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

import numpy as np
import products
from absl import app, flags

from ccpdml import metrics

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_images", 60_502, "Images of the set; the default is SOP's test set.")
flags.DEFINE_integer("num_classes", 11_316, "Classes, of equal expected size.")
flags.DEFINE_integer("dim", 128, "Embedding size.")
flags.DEFINE_float("spread", 1.3, "Within-class over between-class deviation: how hard it is.")
flags.DEFINE_float("query_share", 1.0, "Share of the images that query; below 1, new images do.")
flags.DEFINE_multi_integer("recall_at", [1, 10, 100, 1000], "K of R@K.")
flags.DEFINE_integer("max_memory_mib", 512, "`max_memory_bytes` of the metrics, in MiB.")
flags.DEFINE_string("torch_python", None, "A Python with pytorch-metric-learning and faiss.")
flags.DEFINE_integer("repeats", 5, "Pairs of runs; the median ratio is reported.")

ROWS_PER_DRAW = 4096


def draw(num_images, generator, centers):
    """Unit embeddings float32 [num_images, dim] around class centers, and labels."""
    labels = generator.integers(0, len(centers), num_images)
    embeddings = np.empty((num_images, centers.shape[1]), np.float32)
    for start in range(0, num_images, ROWS_PER_DRAW):
        part = slice(start, start + ROWS_PER_DRAW)
        noise = generator.standard_normal((len(labels[part]), centers.shape[1]), np.float32)
        points = centers[labels[part]] + np.float32(FLAGS.spread) * noise
        embeddings[part] = points / np.linalg.norm(points, axis=1, keepdims=True)
    return embeddings, labels


def timed(function):
    """Seconds and CPU seconds of a call."""
    start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare_with_peer(query, labels, num_neighbors, cpu_seconds, scores):
    """Prints what pytorch-metric-learning takes for self-retrieval, and how the scores differ."""
    other = pathlib.Path(__file__).with_name("retrieval_pml.py")
    with tempfile.TemporaryDirectory() as folder:
        arrays = pathlib.Path(folder) / "arrays.npz"
        np.savez(arrays, query=query, query_labels=labels)
        command = [FLAGS.torch_python, str(other), str(arrays), str(num_neighbors)]
        found = json.loads(subprocess.check_output(command, text=True))
    difference = max(abs(scores[name] - value) for name, value in found["scores"].items())
    print(
        f"pytorch-metric-learning with {num_neighbors} neighbors: {found['cpu_seconds']:.1f} "
        f"CPU s, {found['cpu_seconds'] / cpu_seconds:.1f} times ours; "
        f"scores differ by at most {difference:.1e}"
    )


def main(_):
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((FLAGS.num_classes, FLAGS.dim), np.float32)
    gallery, gallery_labels = draw(FLAGS.num_images, generator, centers)
    query, sides = gallery, (gallery, gallery_labels)
    if FLAGS.query_share < 1.0:
        query, labels = draw(int(FLAGS.query_share * FLAGS.num_images), generator, centers)
        sides = (query, labels, gallery, gallery_labels)
    options = {"recall_at": FLAGS.recall_at, "max_memory_bytes": FLAGS.max_memory_mib * 2**20}
    del centers
    _, multiply = products.fastest(query, gallery)
    before, results = peak_mib(), {}
    ratios = []
    for _ in range(FLAGS.repeats):
        bare = timed(lambda: multiply(query, gallery))
        full = timed(lambda: results.update(metrics.retrieval(*sides, **options)))
        ratios.append((full[0] / bare[0], full[1] / bare[1]))
        print(
            f"bare product {bare[0]:.1f} s ({bare[1]:.1f} CPU s), "
            f"metrics {full[0]:.1f} s ({full[1]:.1f} CPU s)"
        )
    wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"{len(query):,} queries x {len(gallery):,} images x {FLAGS.dim}: {results}")
    print(f"median ratio to the bare product: {wall:.2f} of time, {cpu:.2f} of CPU time")
    print(f"peak memory {peak_mib():.0f} MiB, {before:.0f} MiB of it before the first call")
    if FLAGS.torch_python:
        # It takes the scores from a list of neighbors: as long as a class for MAP@R, K for R@K.
        for num_neighbors in (np.bincount(sides[1]).max(), max(FLAGS.recall_at)):
            compare_with_peer(query, sides[1], num_neighbors, full[1], results)


if __name__ == "__main__":
    app.run(main)
