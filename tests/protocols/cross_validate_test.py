"""The whole protocol as a command: killed, shared out, changed, in real processes."""

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

import pytest

from ccpdml.cluster import lock

ROOT = Path(__file__).parents[2]
SMALL = [
    "--gin_file=gin/digits_ms.gin",
    "--folds=2",
    "--gin_bindings=train.classes_per_batch = 3",
    "--gin_bindings=train.steps = 150",
    "--gin_bindings=train.evaluate_every = 25",
    "--gin_bindings=train.steps_per_loop = 5",
    "--gin_bindings=train.deterministic = True",
    "--gin_bindings=ProxyReinitialization.patience = 1",
]


def start(run_dir, *arguments):
    """Starts the protocol in a process group of its own, which can be killed as one."""
    return subprocess.Popen(
        [sys.executable, "experiments/cross_validate.py", f"--run_dir={run_dir}", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A protocol that was never stopped."""
    run_dir = tmp_path_factory.mktemp("whole")
    code, printed = finish(start(run_dir, *SMALL))
    assert code == 0, printed
    return run_dir


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, tmp_path):
    moments = random.Random(0)
    num_kills = 0
    while num_kills < 5:
        process = start(tmp_path, *SMALL)
        try:
            process.wait(moments.uniform(1.0, 12.0))
        except subprocess.TimeoutExpired:
            num_kills += 1
        assert process.returncode in (None, 0), process.communicate()[0]
        kill(process)
        if process.returncode == 0:  # Done before its fifth kill: lose one fold's end, go on.
            (tmp_path / "fold_1_repeat_0" / "results.json").unlink()
    code, printed = finish(start(tmp_path, *SMALL))
    assert code == 0, printed
    assert (tmp_path / "results.json").read_bytes() == (whole / "results.json").read_bytes()


@pytest.mark.slow
def test_a_second_process_takes_what_the_first_is_not_at(whole, tmp_path):
    both = [start(tmp_path, *SMALL)]
    deadline = time.monotonic() + 120
    while not (tmp_path / "fold_0_repeat_0" / "run.lock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    both.append(start(tmp_path, *SMALL))
    for code, printed in map(finish, both):
        assert code == 0, printed
    assert (tmp_path / "results.json").read_bytes() == (whole / "results.json").read_bytes()


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
    code, printed = finish(start(whole, *SMALL, "--folds=3"))
    assert code == 1
    assert "another configuration" in printed
    assert "num_folds" in printed
    assert "Traceback" not in printed


def test_runs_on_other_data_are_refused_though_finished(whole, tmp_path):
    run_dir = shutil.copytree(whole, tmp_path / "copy")
    path = run_dir / "fold_1_repeat_0" / "data.json"
    described = json.loads(path.read_text())
    described["parts"]["test"]["digest"] = "0"
    path.write_text(json.dumps(described))
    code, printed = finish(start(run_dir, *SMALL))
    assert code == 1
    assert "fold_1_repeat_0 holds a run on other data" in printed
    assert "Traceback" not in printed


def test_selection_on_test_classes_is_refused(tmp_path):
    arguments = [*SMALL, "--gin_bindings=train.select_on = 'test'"]
    code, printed = finish(start(tmp_path, *arguments, "--dry_run"))
    assert code == 1
    assert "conventional.gin" in printed


def test_a_run_tells_that_another_process_is_at_it(tmp_path):
    with lock.held(tmp_path):
        command = [sys.executable, "experiments/run.py", f"--run_dir={tmp_path}", SMALL[0]]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == lock.EXIT_CODE
    assert f"process {os.getpid()}" in done.stderr
