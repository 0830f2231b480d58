"""Exact search of a gallery in a file that is larger than what it may take of the memory.

python experiments/benchmarks/large_gallery.py --out=/tmp/gallery --rows=10000000

Writes a file of embeddings once: made-up vectors with structure (clusters of 50), paths, classes
and digests. Then, each in a process of its own and in turn: opening that file (`read_embeddings`,
which checks its bytes) and finding the ten nearest of 1,000 queries (`serving.search`), and what
the search cannot do without, reading the vectors a part at a time and multiplying them with the
queries in float32, the way that was found to be the fastest. Seconds, medians of `--repeats`, and
how much memory the search had of its own at its peak; pages of the file that the system keeps are
not counted.
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
    path = Path(FLAGS.out) / f"vectors-{FLAGS.rows}x{FLAGS.dim}.npz"
    if FLAGS.part:
        {"search": search, "multiply": read_and_multiply}[FLAGS.part](path)
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
    """Writes the gallery."""
    from ccpdml.serving import embeddings

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = range(FLAGS.rows)
    texts = {
        "paths": np.array([f"photos/{row // 1000:05d}/{row:08d}.jpg" for row in rows]),
        "classes": np.array([str(row // PER_CLUSTER) for row in rows]),
        "digests": np.array([f"{row:032x}" for row in rows]),
    }
    embeddings.write(path, vectors(), texts, {"encoder": {"fingerprint": "made up"}})


def vectors():
    """The vectors in parts."""
    rng = np.random.default_rng(0)
    for start in range(0, FLAGS.rows, AT_ONCE):
        size = min(AT_ONCE, FLAGS.rows - start)
        centers = rng.standard_normal((-(-size // PER_CLUSTER), FLAGS.dim), np.float32)
        rows = np.repeat(centers, PER_CLUSTER, axis=0)[:size]
        rows += rng.standard_normal((size, FLAGS.dim), np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def some(gallery):
    """Queries: images of the gallery, evenly spaced."""
    step = FLAGS.rows // FLAGS.queries
    texts = (np.array(each[::step]) for each in (gallery.paths, gallery.classes))
    return type(gallery)(np.array(gallery.embeddings[::step]), *texts, gallery.info)


def read_and_multiply(path):
    import products

    from ccpdml import serving

    gallery = serving.read_embeddings(path)
    queries = some(gallery).embeddings
    _, multiply = products.fastest(queries, gallery.embeddings)
    memory = np.empty((AT_ONCE, gallery.embeddings.shape[1]), np.float32)
    started = time.perf_counter()
    for start in range(0, FLAGS.rows, AT_ONCE):
        rows = gallery.embeddings[start : start + AT_ONCE]
        memory[: len(rows)] = rows
        multiply(queries, memory[: len(rows)])
    print(f"{time.perf_counter() - started:.2f} s")


def search(path):
    from ccpdml import serving

    peak, is_over = [own_bytes()], threading.Event()

    def watch():
        while not is_over.wait(0.05):
            peak.append(own_bytes())

    before = own_bytes()
    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    gallery = serving.read_embeddings(path)
    opened = time.perf_counter()
    serving.search(some(gallery), gallery)
    seconds = time.perf_counter() - opened
    is_over.set()
    watcher.join()
    print(
        f"{seconds:.2f} s, opened in {opened - started:.2f} s, "
        f"{(max(peak) - before) / 2**20:.0f} MiB more, {max(peak) / 2**20:.0f} MiB"
    )


def own_bytes():
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    app.run(main)
