"""Kills runs at random moments until they are done, and compares them with one never killed.

python experiments/benchmarks/resume.py --runs=20
python experiments/benchmarks/resume.py --runs=20 --workers=2

Each run on digits is killed by SIGKILL, `--kills` times, and started again by the same command, at
last left alone. Its weights, moments, history and scores must be those of the whole run, to the
bit. Every other kill waits, from its random moment on, for the next write of a checkpoint. Of two
workers one is killed, and the other has to end by itself. Exits with 1 if anything differs.
"""

import json
import os
import pathlib
import random
import shutil
import socket
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
flags.DEFINE_integer("workers", 1, "Processes of a run.")
flags.DEFINE_integer("steps", 400, "Steps of a run.")
flags.DEFINE_integer("seed", 0, "Of the moments and the victims.")

ROOT = pathlib.Path(__file__).parents[2]
SECONDS_TO_END = 300.0  # Of a worker that was left alone.


def command(run_dir):
    """The command that starts or resumes the run of a directory."""
    bindings = [
        f"train.steps={FLAGS.steps}",
        f"train.evaluate_every={FLAGS.steps // 16}",
        "train.deterministic=True",
        "ProxyReinitialization.patience=1",
    ]
    line = [sys.executable, "experiments/run.py", "--gin_file=gin/digits_ms.gin"]
    return [*line, f"--run_dir={run_dir}", *(f"--gin_bindings={binding}" for binding in bindings)]


def start(run_dir):
    """Starts or resumes a run; returns its processes."""
    addresses = [f"localhost:{port}" for port in free_ports(FLAGS.workers)]
    processes = []
    for index in range(FLAGS.workers):
        environment = os.environ | {"CCPDML_WAIT": "60"}
        if FLAGS.workers > 1:
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        with log_of(run_dir, index).open("a") as log:
            streams = {"stdout": log, "stderr": log}
            processes.append(
                subprocess.Popen(command(run_dir), cwd=ROOT, env=environment, **streams)
            )
    return processes


def log_of(run_dir, index):
    """What a worker of a run has printed."""
    return run_dir.with_suffix(f".{index}.log")


def free_ports(count):
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def kill_one(run_dir, moment, victim, in_write):
    """Starts a run and kills one of its workers.

    Args:
        run_dir: directory of the run.
        moment: seconds after the start, float.
        victim: index of the worker.
        in_write: whether to wait from then on for a checkpoint to be written.

    Returns:
        Tuple (whether it was killed before its end, whether inside a write, seconds until the
        others had ended, their exit codes).
    """
    processes = start(run_dir)
    time.sleep(moment)
    while in_write and processes[victim].poll() is None and not is_writing(run_dir):
        time.sleep(0.001)
    is_killed = processes[victim].poll() is None
    processes[victim].kill()
    processes[victim].wait()
    was_writing, killed = is_writing(run_dir), time.monotonic()
    try:
        for process in processes:
            process.wait(max(0.0, killed + SECONDS_TO_END - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
    codes = [p.wait() for index, p in enumerate(processes) if index != victim]
    return is_killed, is_killed and was_writing, time.monotonic() - killed, codes


def is_writing(run_dir):
    """Whether a checkpoint is half-written."""
    return any((run_dir / "checkpoints").glob("*_temp*"))


def kill(run_dir, seconds, draw, in_write):
    """Kills a run inside its `seconds`; as `kill_one`. One that is done before begins anew."""
    while True:
        moment, victim = draw.uniform(0.0, seconds), draw.randrange(FLAGS.workers)
        report = kill_one(run_dir, moment, victim, in_write)
        if report[0]:
            text = f"worker {victim} killed at {moment:.1f} s{' in a write' * report[1]}"
            print(f"  {text}, others ended {report[2]:.1f} s later: {report[3]}", flush=True)
            return report
        shutil.rmtree(run_dir)


def finish(run_dir):
    """Starts or resumes a run and leaves it alone."""
    for index, process in enumerate(start(run_dir)):
        if process.wait() != 0:
            end = log_of(run_dir, index).read_text()[-2000:]
            raise RuntimeError(f"Worker {index} ended with {process.returncode}: {end}")


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
    draw = random.Random(FLAGS.seed)
    num_equal, reports = 0, []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        started = time.monotonic()
        finish(folder / "whole")
        seconds = time.monotonic() - started
        expected = outcome(folder / "whole")
        for number in range(FLAGS.runs):
            run_dir = folder / str(number)
            for _ in range(FLAGS.kills):
                in_write = len(reports) % 2 == 1
                # A write is waited for, so the moment comes earlier.
                reports.append(kill(run_dir, seconds / (1 + in_write), draw, in_write))
            finish(run_dir)
            found = outcome(run_dir)
            different = sorted(n for n in expected | found if expected.get(n) != found.get(n))
            num_equal += not different
            print(f"run {number}: {different or 'identical'}", flush=True)
    num_in_writes = sum(report[1] for report in reports)
    longest = max(report[2] for report in reports)
    print(
        f"{num_equal} of {FLAGS.runs} runs of {FLAGS.workers} worker(s) identical after "
        f"{len(reports)} kills, {num_in_writes} of them inside a checkpoint's write; others ended "
        f"at most {longest:.0f} s later; a whole run takes {seconds:.0f} s; "
        f"TensorFlow {tf.__version__}"
    )
    sys.exit(num_equal < FLAGS.runs)


if __name__ == "__main__":
    app.run(main)
