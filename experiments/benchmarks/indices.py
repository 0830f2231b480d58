"""Measures approximate indices of made-up embeddings with structure, beside the exact search.

python experiments/benchmarks/indices.py --num_vectors=1000000

Classes of 50 lie around centers on the unit sphere. Each kind is made in turn; its table tells the
bytes, the time to make it, and of each value tried recall, MAP@R and the time of a query. The last
line is the search of ccpdml itself, for as many neighbors.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("num_vectors", 1_000_000, "Vectors.", lower_bound=10_000)
flags.DEFINE_integer("dim", 128, "Numbers of a vector.", lower_bound=2)
flags.DEFINE_float("spread", 1.0, "Of a class, in lengths of its center.", lower_bound=0.0)
flags.DEFINE_float("recall", 0.95, "Wanted share of the 10 nearest.")
flags.DEFINE_integer("num_queries", 1000, "Queries.", lower_bound=1)
flags.DEFINE_list("kinds", ["faiss_hnsw", "usearch", "faiss_ivf_pq"], "What to measure.")

PER_CLASS = 50


def gallery():
    """The embeddings, in classes."""
    from ccpdml import serving

    rng = np.random.default_rng(0)
    labels = np.arange(FLAGS.num_vectors) // PER_CLASS
    centers = rng.normal(size=(labels[-1] + 1, FLAGS.dim)).astype(np.float32)
    rows = rng.normal(scale=FLAGS.spread, size=(FLAGS.num_vectors, FLAGS.dim)).astype(np.float32)
    rows += centers[labels]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    paths = [f"{row}.jpg" for row in range(FLAGS.num_vectors)]
    return serving.Embeddings.of(rows, paths, labels.astype(str), made_with="made up")


def main(_):
    from ccpdml import metrics, serving

    found = gallery()
    for kind in FLAGS.kinds:
        with tempfile.TemporaryDirectory() as folder:
            report = serving.indices.build(
                found, Path(folder) / "index", kind, FLAGS.recall, FLAGS.num_queries
            )
        print("\n".join(report.lines()), flush=True)
    queries = found.embeddings[
        np.random.default_rng(0).permutation(len(found))[: FLAGS.num_queries]
    ]
    started = time.perf_counter()
    metrics.nearest(queries, found.embeddings, 10)
    each = 1e6 * (time.perf_counter() - started) / len(queries)
    print(f"exact search of ccpdml: {each:,.0f} us/query")


if __name__ == "__main__":
    app.run(main)
