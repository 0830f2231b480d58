"""The devices that a run uses, and the process that may write."""

import atexit
import contextlib
import faulthandler
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from ccpdml.cluster import environment, rendezvous

SECONDS_TO_START = 600.0
"""How long a worker waits for the others, unless `CCPDML_WAIT` says otherwise."""


class WorkerLostError(ConnectionError):
    """Another worker of the run died, and this one cannot go on without it."""


def by_name(name: str) -> tf.distribute.Strategy:
    """Builds the strategy called `name`; the first thing that a process asks of TensorFlow.

    "default" is one device, "mirrored" all GPUs of this host, "multi_worker" every process that
    `TF_CONFIG` or Slurm's environment names, and "auto" the largest of these that there is.

    Raises:
        ValueError: if there is no such strategy, nothing names the processes, or what names them
            (`TF_CONFIG`, Slurm's variables) makes no sense.
    """
    strategies = {
        "auto": _largest,
        "default": tf.distribute.get_strategy,
        "mirrored": tf.distribute.MirroredStrategy,
        "multi_worker": _multi_worker,
    }
    if name not in strategies:
        raise ValueError(f"`strategy` must be one of {sorted(strategies)}. Received: {name=}")
    return strategies[name]()


def _largest():
    if len(environment.tf_config_addresses()) > 1 or environment.slurm_tasks() > 1:
        return _multi_worker()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _multi_worker():
    if environment.tf_config_addresses():
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    elif environment.slurm_tasks():
        resolver = _SlurmResolver()
    else:
        raise ValueError(
            "The strategy 'multi_worker' needs TF_CONFIG, or a start by Slurm's srun, to know its "
            "workers. Received: neither in the environment."
        )
    seconds = environment.seconds_to_wait(SECONDS_TO_START)
    rendezvous.wait_for_all(*_addresses(resolver), seconds)
    # A worker may die after it was seen, and TensorFlow then waits for it, deaf to signals.
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _addresses(resolver):
    """Tuple (addresses of all workers, index of this one)."""
    jobs = resolver.cluster_spec().as_dict()
    addresses = [*jobs.get("chief", ()), *jobs.get("worker", ())]
    own = jobs[resolver.task_type][resolver.task_id]
    return addresses, addresses.index(own)


class _SlurmResolver(tf.distribute.cluster_resolver.SlurmClusterResolver):
    """The tasks of a Slurm step, with the GPUs that Slurm bound to each, none included.

    TensorFlow's own asks `nvidia-smi` for GPUs, fails without one, and hands them out itself.
    """

    def __init__(self):
        num_tasks, port = environment.slurm_tasks(), environment.slurm_port()
        try:
            super().__init__(
                port_base=port,
                gpus_per_node=num_tasks,  # Any number not below the tasks of a node.
                gpus_per_task=1,
                auto_set_gpu=False,
            )
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                "The environment variables SLURM_STEP_NODELIST, SLURM_STEP_TASKS_PER_NODE and "
                f"SLURM_STEP_NUM_TASKS must agree, as srun sets them: {error}"
            ) from error
        most = max(self._task_configuration.values())
        if port + most - 1 > environment.MAX_PORT:
            raise ValueError(
                "The environment variable CCPDML_PORT must leave a port for each of the "
                f"{most} tasks of a node. Received: CCPDML_PORT={port}"
            )

    def num_accelerators(self, *args, **kwargs):
        return {"GPU": len(tf.config.list_physical_devices("GPU"))}


def is_lost_worker(error: Exception) -> bool:
    """Tells whether an error of TensorFlow says that another worker is gone."""
    return isinstance(error, tf.errors.UnavailableError) or "Collective ops is aborted" in str(
        error
    )


@contextlib.contextmanager
def telling_lost_workers() -> Iterator[None]:
    """Turns what TensorFlow raises in here when another worker is gone into `WorkerLostError`."""
    try:
        yield
    except tf.errors.OpError as error:
        if not is_lost_worker(error):
            raise
        raise WorkerLostError(
            "Another worker is gone, and this one cannot go on without it. See what that one "
            "said, and start all workers again."
        ) from error


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Tells whether the replicas of `strategy` live in several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Tells whether this process is the one that writes the files of a run."""
    return bool(strategy.extended.should_checkpoint)


def output_directory(strategy: tf.distribute.Strategy, directory: str | Path) -> str:
    """The directory for the chief, a scratch one for any other worker.

    Writing often is collective (what is written has to be computed together), so all do it, and
    what only the chief should have written is forgotten.
    """
    if is_chief(strategy):
        return str(directory)
    scratch = tempfile.mkdtemp(prefix="ccpdml_worker_")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return scratch
