"""Runs of two processes: one of them is killed or asked to stop, or sees another directory."""

import signal
import time

import numpy as np
import pytest

from ccpdml import training
from tests.training import processes

BINDINGS = [
    "train.steps = 120",
    "train.evaluate_every = 30",
    "train.steps_per_loop = 5",
    "train.deterministic = True",
    "ProxyReinitialization.patience = 1",
    "small_cnn.batch_norm = False",
]


def start_and_wait_for_a_row(run_dir):
    """Starts two workers; returns them as soon as the history has one row more."""
    history = run_dir / "logs" / "history.jsonl"
    before = len(training.history.read_history(history))
    workers = processes.start_workers(run_dir, BINDINGS)
    end = time.monotonic() + 200
    while len(training.history.read_history(history)) == before and time.monotonic() < end:
        time.sleep(0.02)
    assert [worker.poll() for worker in workers] == [None, None]
    return workers


@pytest.mark.slow
def test_two_workers_are_killed_and_asked_to_stop_and_end_as_if_they_were_not(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    processes.finish(processes.start_workers(whole, BINDINGS))

    workers = start_and_wait_for_a_row(parts)
    workers[1].send_signal(signal.SIGKILL)
    survivor, _ = processes.finish(workers)
    assert [worker.returncode for worker in workers] == [1, -signal.SIGKILL], survivor
    assert "ERROR: Another worker is gone" in survivor

    workers = start_and_wait_for_a_row(parts)
    workers[1].send_signal(signal.SIGTERM)
    outputs = processes.finish(workers)
    codes = [training.preemption.EXIT_CODE] * 2
    assert [worker.returncode for worker in workers] == codes, outputs

    outputs = processes.finish(processes.start_workers(parts, BINDINGS))
    assert (parts / "results.json").exists(), outputs
    processes.assert_same_run(whole, parts)


@pytest.mark.slow
def test_workers_that_do_not_share_a_directory_are_told(tmp_path):
    # Seconds, not a minute, as network file systems need.
    script = tmp_path / "run.py"
    script.write_text(
        "import runpy, sys\n"
        "sys.path.insert(0, 'experiments')  # as Python does for a program\n"
        "from ccpdml.cluster import shared_directory\n"
        "shared_directory.SECONDS_TO_APPEAR = 1.0\n"
        "runpy.run_path('experiments/run.py', run_name='__main__')\n"
    )
    workers = [
        processes.start(tmp_path / name, BINDINGS, script=str(script), **environment)
        for name, environment in zip("ab", processes.cluster(2), strict=True)
    ]
    outputs = processes.finish(workers)
    # One may learn first that the other has ended.
    told = ["is not the same directory on all workers" in output for output in outputs]
    gone = ["ERROR: Another worker is gone" in output for output in outputs]
    assert any(told), outputs
    assert all(np.logical_or(told, gone)), outputs
    assert [worker.returncode for worker in workers] == [1, 1]
    assert not list(tmp_path.glob("*/worker_token_*"))
    assert not list(tmp_path.glob("*/logs"))
