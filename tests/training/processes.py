"""Runs of `experiments/run.py` in processes of their own, one or several that train together."""

import contextlib
import json
import os
import socket
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests import forks
from tests.training import tensorboard_test

ROOT = Path(__file__).parents[2]


def start(run_dir, bindings, arguments=(), script="experiments/run.py", **environment):
    """Starts one run on digits; returns its `forks.Program`."""
    flags = [f"--gin_bindings={binding}" for binding in bindings]
    command = [sys.executable, script, "--gin_file=gin/digits_ms.gin"]
    words = [*command, f"--run_dir={run_dir}", *flags, *arguments]
    return forks.Program(words, cwd=ROOT, env=os.environ | environment)


def start_workers(run_dir, bindings, num_workers=2, **environment):
    """Starts a run whose replicas are processes; returns them, the first is the chief."""
    return [start(run_dir, bindings, **each, **environment) for each in cluster(num_workers)]


def cluster(num_workers):
    """The environment of each worker of a cluster on this machine, the first is the chief."""
    addresses = [f"localhost:{port}" for port in free_ports(num_workers)]
    configs = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        for index in range(num_workers)
    ]
    return [{"TF_CONFIG": json.dumps(config), "CCPDML_WAIT": "120"} for config in configs]


def free_ports(count):
    """Ports of this machine that nothing listens on, ints."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def finish(processes, timeout=240):
    """Waits for processes, ends them if they take too long; returns what each of them printed."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def saved(run_dir):
    """All arrays of the newest checkpoint of a run, by name."""
    reader = tf.train.load_checkpoint(str(Path(run_dir) / "checkpoints"))
    names = reader.get_variable_to_shape_map()
    ours = [name for name in names if not name.startswith(("_", "save_counter"))]
    arrays = {name: reader.get_tensor(name) for name in ours}
    return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}


def assert_same_run(one, other):
    """Checks that two finished runs are the same to the bit: weights, history, proxies, results."""
    arrays, arrays_of_other = saved(one), saved(other)
    assert arrays.keys() == arrays_of_other.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(arrays_of_other[name], array, err_msg=name)
    texts = [(Path(run) / "logs" / "history.jsonl").read_text() for run in (one, other)]
    assert texts[0] == texts[1]
    records = [
        {path.name: path.read_bytes() for path in (Path(run) / "logs" / "proxies").iterdir()}
        for run in (one, other)
    ]
    assert records[0] == records[1]
    scalars = [tensorboard_test.read(Path(run) / "logs" / "tensorboard") for run in (one, other)]
    assert scalars[0] == scalars[1]
    results = [json.loads((Path(run) / "results.json").read_text()) for run in (one, other)]
    assert results[0] | {"wall_seconds": 0} == results[1] | {"wall_seconds": 0}
