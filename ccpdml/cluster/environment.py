"""The workers of a run, as environment variables tell them: read and checked."""

import json
import math
import os
import re

_JOBS = ("chief", "worker")
_TASK = re.compile(r"[0-9]{1,9}")
# What Slurm's srun sets for each task of a step, and what it looks like.
_SLURM = {
    "SLURM_STEP_NUM_TASKS": (re.compile(r"[1-9]\d*"), "a number of tasks, such as 4"),
    "SLURM_PROCID": (_TASK, "the number of this task, from 0"),
    "SLURM_STEP_NODELIST": (re.compile(r"[\w.,\[\]-]+"), "names of nodes, such as node[1-2]"),
    "SLURM_STEP_TASKS_PER_NODE": (
        re.compile(r"\d+(\(x\d+\))?(,\d+(\(x\d+\))?)*"),
        "tasks of each node, such as 2(x2)",
    ),
}
MAX_PORT = 65535


def tf_config_addresses() -> list[str]:
    """Addresses "host:port" of all workers that `TF_CONFIG` names, the chief first.

    Returns:
        The addresses; none if the variable is unset, empty, or has no cluster.

    Raises:
        ValueError: if `TF_CONFIG` is not {"cluster": {"worker": ["host:port", ...]}, "task":
            {"type": "worker", "index": 0}}, saying what of it is not.
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(_tf_config(f"be JSON ({error})", text)) from error
    if not isinstance(config, dict):
        raise ValueError(_tf_config("be a JSON object", text))
    if "cluster" not in config:
        return []
    cluster, task = config["cluster"], config.get("task")
    _check_cluster(cluster, text)
    addresses = [address for job in _JOBS for address in cluster.get(job, ())]
    if addresses:
        _check_task(task, cluster, text)
    return addresses


def _check_cluster(cluster, text):
    if not isinstance(cluster, dict) or not set(cluster) <= set(_JOBS):
        raise ValueError(
            _tf_config("have a `cluster` that maps 'worker', and possibly 'chief', to lists", text)
        )
    for job, addresses in cluster.items():
        if not isinstance(addresses, list):
            raise ValueError(_tf_config(f"have a list of addresses as `cluster.{job}`", text))
        for address in addresses:
            if not _is_address(address):
                what = f"name workers as 'host:port', the port in 1..{MAX_PORT}, not {address!r}"
                raise ValueError(_tf_config(what, text))
    everybody = [address for addresses in cluster.values() for address in addresses]
    if len(set(everybody)) < len(everybody) or len(cluster.get("chief", ())) > 1:
        raise ValueError(_tf_config("name each address once, and at most one chief", text))


def _check_task(task, cluster, text):
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise ValueError(_tf_config("have a `task` of this worker with `type` and `index`", text))
    kind, index = task["type"], task["index"]
    if not isinstance(kind, str) or not cluster.get(kind):
        raise ValueError(_tf_config(f"have a `task.type` that is in `cluster`, not {kind!r}", text))
    last = len(cluster[kind]) - 1
    if type(index) is not int or not 0 <= index <= last:
        what = f"have a `task.index` in 0..{last}, the workers of `cluster.{kind}`, not {index!r}"
        raise ValueError(_tf_config(what, text))


def _is_address(address):
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    return bool(re.fullmatch(r"\S+", host)) and _is_port(port)


def _is_port(text):
    return bool(_TASK.fullmatch(text)) and 1 <= int(text) <= MAX_PORT


def _tf_config(what, text):
    return f"The environment variable TF_CONFIG must {what}. Received: TF_CONFIG={text!r}"


def slurm_tasks() -> int:
    """Tasks of the Slurm step that this process is one of; 0 outside of a step.

    Raises:
        ValueError: if some of what srun sets for a step is missing or makes no sense.
    """
    # Only srun sets the variables of a step; the batch script itself is no worker.
    if "SLURM_STEP_NUM_TASKS" not in os.environ:
        return 0
    _check_slurm("SLURM_STEP_NUM_TASKS")
    num_tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    if num_tasks > 1:
        for name in _SLURM:
            _check_slurm(name)
        if int(os.environ["SLURM_PROCID"]) >= num_tasks:
            raise ValueError(_variable("SLURM_PROCID", f"below SLURM_STEP_NUM_TASKS={num_tasks}"))
    return num_tasks


def _check_slurm(name):
    pattern, meaning = _SLURM[name]
    if not pattern.fullmatch(os.environ.get(name, "")):
        raise ValueError(_variable(name, f"{meaning}, as srun sets it for every task of a step"))


def slurm_port() -> int:
    """The port of the first worker of a node, `CCPDML_PORT`."""
    text = os.environ.get("CCPDML_PORT", "8888")
    if not _is_port(text):
        raise ValueError(_variable("CCPDML_PORT", f"a port in 1..{MAX_PORT}"))
    return int(text)


def seconds_to_wait(default: float) -> float:
    """Seconds that a worker waits for the others, `CCPDML_WAIT`."""
    text = os.environ.get("CCPDML_WAIT", str(default))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(_variable("CCPDML_WAIT", "a number of seconds above 0"))
    return seconds


def _variable(name, expected):
    received = os.environ.get(name)
    return f"The environment variable {name} must be {expected}. Received: {name}={received!r}"
