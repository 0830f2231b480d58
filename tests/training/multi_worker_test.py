"""Runs whose replicas are processes: one result, that of a single process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import config, training
from ccpdml.cluster import strategies
from tests.training import processes

# Batch normalization would see half of the batch on each replica.
BINDINGS = [
    "train.steps = 20",
    "train.evaluate_every = 10",
    "ProxyReinitialization.patience = 1",
    "ProxyReinitialization.min_delta = 1.0",  # The second score is no gain, whatever it is.
    "small_cnn.batch_norm = False",
]
RUNS = ("one", "two")


def run_recipe(run_dir):
    """Runs the recipe of the documentation to its end."""
    # The second port is the next one, free with luck only; ports this high are rarely taken.
    environment = {"PYTHON": sys.executable, "PORT": str(processes.free_ports(1)[0])}
    bindings = [f"--gin_bindings={binding}" for binding in BINDINGS]
    command = ["bash", "docs/clusters/localhost.sh", "gin/digits_ms.gin", f"--run_dir={run_dir}"]
    return subprocess.run(
        [*command, *bindings],
        cwd=processes.ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, without_figures):
    recipe = run_recipe(tmp_path / "two")
    assert recipe.returncode == 0, recipe.stderr
    assert (tmp_path / "two" / "results.json").exists()
    again = processes.start_workers(tmp_path / "two", BINDINGS)
    outputs = processes.finish(again)
    assert [worker.returncode for worker in again] == [0, 0], outputs
    config.load([processes.ROOT / "gin" / "digits_ms.gin"], BINDINGS)
    training.Experiment(tmp_path / "one").run()
    one, two = processes.saved(tmp_path / "one"), processes.saved(tmp_path / "two")
    assert one.keys() == two.keys()
    picked = ("weights_0005", "EarlyStopping_best/sources/5")  # at step 20, after training
    for name, array in one.items():
        if not name.startswith(picked):
            np.testing.assert_allclose(two[name], array, rtol=1e-5, atol=1e-5, err_msg=name)
    rows, rows_of_two = (
        training.history.read_history(tmp_path / run / "logs" / "history.jsonl") for run in RUNS
    )
    assert len(rows) == len(rows_of_two) == 2
    for row, row_of_two in zip(rows, rows_of_two, strict=True):
        assert row_of_two["loss"] == pytest.approx(row["loss"], rel=1e-5)
        assert row_of_two["val_map_at_r"] == pytest.approx(row["val_map_at_r"], abs=1e-3)
    firsts = [
        np.load(tmp_path / run / "logs" / "proxies" / "instance_0000.npz") for run in ("one", "two")
    ]
    np.testing.assert_array_equal(firsts[1]["images"], firsts[0]["images"])
    np.testing.assert_allclose(firsts[1]["curve"], firsts[0]["curve"], rtol=1e-4, atol=1e-4)
    radii = [each[1]["covering_radius_after"] for each in (rows, rows_of_two)]
    assert radii[1] == pytest.approx(radii[0], rel=1e-2)
    results = [json.loads((tmp_path / run / "results.json").read_text()) for run in RUNS]
    assert results[1]["test"] == pytest.approx(results[0]["test"], abs=1e-3)
    before = [each["untrained"] for each in results]
    assert before[1]["measured"] == before[0]["measured"]
    for part in ("validation", "test"):
        assert before[1][part] == pytest.approx(before[0][part], abs=1e-3)


def test_one_device_and_no_cluster_need_no_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert strategies.by_name("auto") is tf.distribute.get_strategy()
    with pytest.raises(ValueError, match="TF_CONFIG"):
        strategies.by_name("multi_worker")


@pytest.mark.parametrize(
    "environment",
    [
        {
            "TF_CONFIG": json.dumps(
                {
                    "cluster": {"worker": ["a:1", "b:1"]},
                    "task": {"type": "worker", "index": 0},
                }
            )
        },
        {
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_PROCID": "0",
            "SLURM_STEP_NODELIST": "node1",
            "SLURM_STEP_TASKS_PER_NODE": "2",
        },
    ],
)
def test_the_environment_of_a_cluster_chooses_its_strategy(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(strategies, "_multi_worker", lambda: "multi_worker")
    assert strategies.by_name("auto") == "multi_worker"


def test_slurm_names_every_task_and_counts_bound_gpus(monkeypatch):
    environment = {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "node[1-2]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    resolver = strategies._SlurmResolver()
    addresses = ["node1:8888", "node1:8889", "node2:8888", "node2:8889"]
    assert resolver.cluster_spec().as_dict() == {"worker": addresses}
    assert resolver.get_task_info() == ("worker", 2)
    assert resolver.num_accelerators() == {"GPU": 1}
