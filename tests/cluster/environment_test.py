"""What names the workers of a run is read as it is meant, or refused in one line."""

import json

import pytest

from ccpdml.cluster import environment, strategies

TWO = {"worker": ["a:1", "b:2"]}
TASK = {"type": "worker", "index": 0}
STEP = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}


@pytest.mark.parametrize(
    ("config", "addresses"),
    [
        ("", []),
        ({}, []),
        ({"task": TASK}, []),
        ({"cluster": {}}, []),
        ({"cluster": TWO, "task": TASK}, ["a:1", "b:2"]),
        (
            {"cluster": {"worker": ["[::1]:7"], "chief": ["c:65535"]}, "task": TASK},
            ["c:65535", "[::1]:7"],
        ),
    ],
)
def test_workers_are_read_from_tf_config(monkeypatch, config, addresses):
    monkeypatch.setenv("TF_CONFIG", config and json.dumps(config))
    assert environment.tf_config_addresses() == addresses


NO_JSON = ("{", "[" * 100_000)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        *((text, "be JSON") for text in NO_JSON),
        ([], "be a JSON object"),
        ("text", "be a JSON object"),
        (7, "be a JSON object"),
        (None, "be a JSON object"),
        ({"cluster": None, "task": TASK}, "have a `cluster`"),
        ({"cluster": [1], "task": TASK}, "have a `cluster`"),
        ({"cluster": TWO | {"ps": ["c:3"]}, "task": TASK}, "have a `cluster`"),
        ({"cluster": {"worker": "a:1"}, "task": TASK}, "a list of addresses as `cluster.worker`"),
        ({"cluster": {"worker": ["a:1", "b"]}, "task": TASK}, "not 'b'"),
        ({"cluster": {"worker": ["a:1", "b:65536"]}, "task": TASK}, "not 'b:65536'"),
        ({"cluster": {"worker": ["a:1", "b:1" + "0" * 5000]}, "task": TASK}, "not 'b:1000"),
        ({"cluster": {"worker": ["a:1", "b:\uff12"]}, "task": TASK}, "not 'b:\uff12'"),
        ({"cluster": {"worker": ["a:1", "b c:2"]}, "task": TASK}, "not 'b c:2'"),
        ({"cluster": {"worker": ["a:1", "b:0"]}, "task": TASK}, "not 'b:0'"),
        ({"cluster": {"worker": ["a:1", 5]}, "task": TASK}, "not 5"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": TASK}, "each address once"),
        ({"cluster": TWO}, "have a `task`"),
        ({"cluster": TWO, "task": {"type": "worker"}}, "have a `task`"),
        ({"cluster": TWO, "task": {"type": "evaluator", "index": 0}}, "not 'evaluator'"),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, r"in 0\.\.1"),
        ({"cluster": TWO, "task": {"type": "worker", "index": -1}}, r"in 0\.\.1"),
        ({"cluster": TWO, "task": {"type": "worker", "index": "0"}}, "not '0'"),
    ],
)
def test_what_is_no_tf_config_is_refused_in_one_line(monkeypatch, config, expected):
    monkeypatch.setenv("TF_CONFIG", config if config in NO_JSON else json.dumps(config, indent=1))
    with pytest.raises(ValueError, match=f"TF_CONFIG must .*{expected}.* Received: ") as caught:
        strategies.by_name("auto")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"SLURM_PROCID": None}, "SLURM_PROCID"),
        ({"SLURM_PROCID": "4"}, "SLURM_PROCID"),
        ({"SLURM_PROCID": "one"}, "SLURM_PROCID"),
        ({"SLURM_STEP_NUM_TASKS": "many"}, "SLURM_STEP_NUM_TASKS"),
        ({"SLURM_STEP_NUM_TASKS": ""}, "SLURM_STEP_NUM_TASKS"),
        ({"SLURM_STEP_NUM_TASKS": "5"}, "SLURM_STEP_NUM_TASKS"),
        ({"SLURM_STEP_NODELIST": None}, "SLURM_STEP_NODELIST"),
        ({"SLURM_STEP_NODELIST": "node[1-"}, "SLURM_STEP_NODELIST"),
        ({"SLURM_STEP_NODELIST": "node1"}, "SLURM_STEP_NODELIST"),
        ({"SLURM_STEP_TASKS_PER_NODE": "two"}, "SLURM_STEP_TASKS_PER_NODE"),
        ({"SLURM_STEP_TASKS_PER_NODE": None}, "SLURM_STEP_TASKS_PER_NODE"),
        ({"CCPDML_PORT": "http"}, "CCPDML_PORT"),
        ({"CCPDML_PORT": "65535"}, "CCPDML_PORT"),
        ({"CCPDML_WAIT": "long"}, "CCPDML_WAIT"),
        ({"CCPDML_WAIT": "0"}, "CCPDML_WAIT"),
    ],
)
def test_a_slurm_step_that_is_half_there_is_refused_in_one_line(monkeypatch, change, name):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for variable, value in (STEP | change).items():
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"environment variable.* {name}.* must ") as caught:
        strategies.by_name("auto")
    assert "\n" not in str(caught.value)
