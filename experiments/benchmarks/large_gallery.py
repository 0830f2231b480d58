"""Exact search of a gallery in a file that is larger than what it may take of the memory.

python experiments/benchmarks/large_gallery.py --out=/tmp/gallery --rows=10000000

Writes made-up vectors with structure (clusters of 50) once. Then, each in a process of its own and
in turn: the search of `metrics.nearest` for the ten nearest of 1,000 queries, and what it cannot do
without, reading the file a part at a time and multiplying it with the queries in float32, the way
that was found to be the fastest. Seconds, medians of `--repeats`, and how much memory the search
had of its own at its peak; pages of the file that the system keeps are not counted.
"""

import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("out", "runs/large_gallery", "Folder of the vectors.")
flags.DEFINE_integer("rows", 10_000_000, "Vectors.")
flags.DEFINE_integer("dim", 128, "Numbers of a vector.")
flags.DEFINE_integer("queries", 1000, "Queries.")
flags.DEFINE_integer("repeats", 5, "Measurements.")
flags.DEFINE_enum(
    "part", None, ["search", "multiply"], "What this process measures; not to be given."
)

PER_CLUSTER, AT_ONCE = 50, 200_000


def main(_):
    path = Path(FLAGS.out) / f"vectors-{FLAGS.rows}x{FLAGS.dim}.npy"
    if FLAGS.part:
        vectors = np.load(path, mmap_mode="r")
        chosen = np.random.default_rng(1).choice(FLAGS.rows, FLAGS.queries, replace=False)
        queries = np.array(vectors[np.sort(chosen)])
        {"search": search, "multiply": read_and_multiply}[FLAGS.part](vectors, queries)
        return
    if not path.is_file():
        write(path)
    told = {part: [] for part in ("multiply", "search")}
    for _ in range(FLAGS.repeats):
        for part, seconds in told.items():
            command = [sys.executable, __file__, f"--part={part}", *sys.argv[1:]]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(part, done.stdout.strip(), flush=True)
            seconds.append(float(done.stdout.splitlines()[-1].split()[0]))
    medians = {part: statistics.median(seconds) for part, seconds in told.items()}
    print(f"search takes {medians['search'] / medians['multiply']:.2f} times as long")


def write(path):
    """Writes the vectors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (FLAGS.rows, FLAGS.dim)
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    rng = np.random.default_rng(0)
    for start in range(0, FLAGS.rows, AT_ONCE):
        size = min(AT_ONCE, FLAGS.rows - start)
        centers = rng.standard_normal((-(-size // PER_CLUSTER), FLAGS.dim), np.float32)
        rows = np.repeat(centers, PER_CLUSTER, axis=0)[:size]
        rows += rng.standard_normal((size, FLAGS.dim), np.float32)
        vectors[start : start + size] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    vectors.flush()


def read_and_multiply(vectors, queries):
    import products

    _, multiply = products.fastest(queries, vectors)
    started = time.perf_counter()
    for start in range(0, len(vectors), AT_ONCE):
        multiply(queries, np.array(vectors[start : start + AT_ONCE]))
    print(f"{time.perf_counter() - started:.2f} s")


def search(vectors, queries):
    from ccpdml import metrics

    peak, is_over = [own_bytes()], threading.Event()

    def watch():
        while not is_over.wait(0.05):
            peak.append(own_bytes())

    before = own_bytes()
    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    metrics.nearest(queries, vectors, 10)
    seconds = time.perf_counter() - started
    is_over.set()
    watcher.join()
    print(
        f"{seconds:.2f} s, {(max(peak) - before) / 2**20:.0f} MiB more, {max(peak) / 2**20:.0f} MiB"
    )


def own_bytes():
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    app.run(main)
