"""Whole runs in processes that are killed or asked to stop, or meet in one directory."""

import os
import re
import signal
import time

import numpy as np
import pytest
from PIL import Image

from ccpdml import config, training
from ccpdml.cluster import lock
from tests import programs
from tests.training import processes

BINDINGS = [
    "train.steps = 120",
    "train.evaluate_every = 30",
    "train.steps_per_loop = 5",
    "train.deterministic = True",
]


def flags(run_dir, bindings):
    """The arguments of `processes.start`, for a run in this process."""
    bound = [f"--gin_bindings={binding}" for binding in bindings]
    return ["--gin_file=gin/digits_ms.gin", f"--run_dir={run_dir}", *bound]


def interrupt(run_dir, number, when):
    """Starts or resumes a run, sends a signal once `when()` holds; returns the exit code."""
    process = processes.start(run_dir, BINDINGS)
    end = time.monotonic() + 200
    while not when() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(number)
    processes.finish([process])
    return process.returncode


@pytest.mark.slow
def test_a_run_that_is_killed_and_asked_to_stop_ends_as_one_that_was_not(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    processes.finish([processes.start(whole, BINDINGS)])
    history = parts / "logs" / "history.jsonl"

    def num_rows():
        return len(training.history.read_history(history))

    assert interrupt(parts, signal.SIGKILL, lambda: num_rows() >= 1) == -signal.SIGKILL
    rows_before = num_rows()
    assert interrupt(parts, signal.SIGTERM, lambda: num_rows() > rows_before) == 75
    processes.finish([processes.start(parts, BINDINGS)])
    processes.assert_same_run(whole, parts)


def test_two_runs_do_not_share_a_directory(tmp_path):
    config.load([processes.ROOT / "gin" / "digits_ms.gin"], BINDINGS)
    run = training.Experiment(tmp_path)
    with lock.held(tmp_path), pytest.raises(lock.RunActiveError, match="process .* on "):
        run.run()


def test_a_run_that_finds_another_in_its_directory_says_so(tmp_path, capfd):
    with lock.held(tmp_path):
        code, _ = programs.run_in(processes.ROOT, "run.py", *flags(tmp_path, BINDINGS))
    assert code == lock.EXIT_CODE
    output = capfd.readouterr().err
    assert f"ERROR: A run is active in {tmp_path}: process {os.getpid()}" in output
    assert "Traceback" not in output


def test_a_run_that_finds_no_directory_says_so(tmp_path):
    (tmp_path / "file").touch()
    arguments = flags(tmp_path / "file" / "run", [])
    code, _ = programs.run_in(processes.ROOT, "run.py", *arguments)
    assert re.match(f"ERROR: .*{tmp_path / 'file' / 'run'}", code)


@pytest.mark.slow
def test_the_command_that_stopped_at_a_broken_batch_names_it_and_replays_it(tmp_path):
    rng = np.random.default_rng(0)
    for part, label in [*(("train", label) for label in range(4)), ("test", 0), ("test", 1)]:
        folder = tmp_path / "images" / part / f"{part}_{label}"
        folder.mkdir(parents=True)
        for index in range(4):
            pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    bindings = [
        *("data.load.name = 'folder'", f"data.load.root = '{tmp_path / 'images'}'"),
        *("train.classes_per_batch = 2", "train.samples_per_class = 4"),
        *("train.steps = 8", "train.evaluate_every = 8"),
        *("tf.keras.optimizers.Adam.learning_rate = 1e30", "PoolDraw.pool_size = 4"),
        *("train.training_view = @CenterCrop", "train.evaluation_view = @CenterCrop"),
        *("CenterCrop.size = 16", "CenterCrop.short_side = 16"),
    ]
    arguments = flags(tmp_path / "run", bindings)
    line, _ = programs.run_in(processes.ROOT, "run.py", *arguments)
    assert line.startswith("ERROR: ")
    assert "\n" not in line
    assert "at step" in line
    assert str(tmp_path / "images" / "train" / "train_") in line
    assert "--debug" in line
    code, output = programs.run_in(processes.ROOT, "run.py", *arguments, "--debug")
    assert code is None
    assert re.search(r"Step \d+: .*Tensor had .*(Inf|NaN)", output, re.DOTALL), output


def test_a_batch_that_breaks_a_run_can_be_replayed(tmp_path):
    bindings = [*BINDINGS, "tf.keras.optimizers.Adam.learning_rate = 1e30"]
    config.load([processes.ROOT / "gin" / "digits_ms.gin"], bindings)
    run = training.Experiment(tmp_path)
    with pytest.raises(training.NonFiniteLossError) as caught:
        run.run()
    with np.load(tmp_path / "non_finite" / "batch.npz") as batch:
        assert batch["step"] == caught.value.step
        assert batch["images"].shape[0] == batch["labels"].shape[0] == 32
    assert "--debug" in caught.value.__notes__[0]
    assert f"Step {caught.value.step}" in training.replay.run(run)
