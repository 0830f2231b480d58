"""Kills a run at random moments until it is done, and compares it with one that was never killed.

python experiments/benchmarks/resume.py --runs=20

Each run on digits is started again after every SIGKILL, `--kills` times, and then left alone. Its
weights, moments, history and scores must be those of the whole run, to the bit.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("runs", 20, "Runs to kill.")
flags.DEFINE_integer("kills", 1, "Times that each of them is killed.")
flags.DEFINE_integer("steps", 400, "Steps of a run.")
flags.DEFINE_integer("seed", 0, "Of the moments.")

ROOT = pathlib.Path(__file__).parents[2]


def start(run_dir):
    """Starts or resumes the run of a directory."""
    bindings = [
        f"train.steps={FLAGS.steps}",
        f"train.evaluate_every={FLAGS.steps // 8}",
        "train.deterministic=True",
        "ProxyReinitialization.patience=1",
    ]
    command = [sys.executable, "experiments/run.py", "--gin_file=gin/digits_ms.gin"]
    command += [f"--run_dir={run_dir}", *(f"--gin_bindings={line}" for line in bindings)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet)


def outcome(run_dir):
    """Everything a finished run leaves, by name."""
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints"))
    names = reader.get_variable_to_shape_map()
    ours = [name for name in names if not name.startswith(("_", "save_counter"))]
    found = {name: np.asarray(reader.get_tensor(name)).tobytes() for name in ours}
    results = json.loads((run_dir / "results.json").read_text())
    found["results"] = results | {"wall_seconds": None}
    found["history"] = (run_dir / "logs" / "history.jsonl").read_text()
    return found


def main(_):
    moments = random.Random(FLAGS.seed)
    num_equal = num_killed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        started = time.monotonic()
        start(folder / "whole").wait()
        seconds = time.monotonic() - started
        expected = outcome(folder / "whole")
        for number in range(FLAGS.runs):
            run_dir = folder / str(number)
            for _ in range(FLAGS.kills):
                process = start(run_dir)
                try:
                    process.wait(moments.uniform(0.0, seconds))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    num_killed += 1
            start(run_dir).wait()
            found = outcome(run_dir)
            different = sorted(n for n in expected | found if expected.get(n) != found.get(n))
            num_equal += not different
            print(f"run {number}: {different or 'identical'}", flush=True)
    print(f"{num_equal} of {FLAGS.runs} runs identical after {num_killed} kills, {tf.__version__}")


if __name__ == "__main__":
    app.run(main)
