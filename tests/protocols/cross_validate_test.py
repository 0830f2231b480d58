"""The whole protocol as a command: killed, shared out, changed; its runs are real processes."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from tests import forks, programs

ROOT = Path(__file__).parents[2]
SMALL = [
    "--gin_file=gin/digits_ms.gin",
    "--folds=2",
    "--gin_bindings=train.classes_per_batch = 3",
    "--gin_bindings=train.steps = 60",
    "--gin_bindings=train.evaluate_every = 20",
    "--gin_bindings=train.steps_per_loop = 5",
    "--gin_bindings=train.deterministic = True",
    "--gin_bindings=ProxyReinitialization.patience = 1",
]


def start(run_dir, *arguments):
    """Starts the protocol; with its runs it is a process group, which can be killed as one."""
    command = [sys.executable, "experiments/cross_validate.py", f"--run_dir={run_dir}"]
    return forks.Program([*command, *arguments], cwd=ROOT)


def kill(process):
    """Kills a process with its children, as a machine that goes down would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(process):
    """Waits for a process; returns its exit code and what it printed."""
    try:
        printed = process.communicate(timeout=300)[0]
    finally:
        kill(process)
    return process.returncode, printed


def run(run_dir, *arguments):
    """Runs the protocol in this process; returns what it leaves with."""
    return programs.run_in(ROOT, "cross_validate.py", f"--run_dir={run_dir}", *arguments)[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A protocol that was never stopped."""
    run_dir = tmp_path_factory.mktemp("whole")
    with mock.patch.object(subprocess, "Popen", forks.Program):
        assert run(run_dir, *SMALL) is None
    return run_dir


@pytest.mark.slow
def test_killed_in_a_run_and_after_one_and_shared_out_it_ends_with_the_same_bytes(whole, tmp_path):
    first, delays = tmp_path / "fold_0_repeat_0", random.Random(0)
    process = start(tmp_path, *SMALL)
    wait_until((first / "logs" / "history.jsonl").exists)
    kill_after(delays.uniform(0.0, 1.0), process)

    holder = (first / "run.lock").read_text()
    process = start(tmp_path, *SMALL)
    wait_until(lambda: (first / "run.lock").read_text() != holder)
    both = [start(tmp_path, *SMALL)]  # Which takes what the one before it is not at.
    wait_until((first / "results.json").exists)
    kill_after(delays.uniform(0.0, 1.0), process)
    assert not (tmp_path / "results.json").exists()

    both.append(start(tmp_path, *SMALL))
    for code, printed in map(finish, both):
        assert code == 0, printed
    assert (tmp_path / "results.json").read_bytes() == (whole / "results.json").read_bytes()


def wait_until(holds):
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_after(seconds, process):
    time.sleep(seconds)
    assert process.poll() is None, process.communicate()[0]
    kill(process)


def test_results_hold_both_kinds_of_score_and_every_run(whole):
    results = json.loads((whole / "results.json").read_text())
    assert results["separated"]["map_at_r"]["count"] == results["repeats"] == 1
    assert [(run["fold"], run["repeat"]) for run in results["runs"]] == [(0, 0), (1, 0)]
    own = [run["test"]["map_at_r"] for run in results["runs"]]
    assert results["separated"]["map_at_r"]["mean"] == pytest.approx(sum(own) / 2)
    assert results["concatenated"]["map_at_r"]["mean"] > 0.3
    assert results["dim"] == 16
    assert results["selected_on"] == "validation classes"


def test_another_configuration_is_refused_before_anything_runs(whole):
    message = run(whole, *SMALL, "--folds=3")
    assert "another configuration" in message
    assert "num_folds" in message


def test_runs_on_other_data_are_refused_though_finished(whole, tmp_path):
    run_dir = shutil.copytree(whole, tmp_path / "copy")
    path = run_dir / "fold_1_repeat_0" / "data.json"
    described = json.loads(path.read_text())
    described["parts"]["test"]["digest"] = "0"
    path.write_text(json.dumps(described))
    assert "fold_1_repeat_0 holds a run on other data" in run(run_dir, *SMALL)


def test_selection_on_test_classes_is_refused(tmp_path, capfd):
    assert run(tmp_path, *SMALL, "--gin_bindings=train.select_on = 'test'", "--dry_run") == 1
    assert "conventional.gin" in capfd.readouterr().err
