"""A check that all workers of a run see the same directory."""

import secrets
import time
from pathlib import Path

import tensorflow as tf

from ccpdml.cluster import replicas, strategies

SECONDS_TO_APPEAR = 60.0
"""How long a file of the chief may take to be seen; network file systems keep listings so long."""


def check(directory: str | Path, strategy: tf.distribute.Strategy) -> None:
    """Checks that all workers of a run see the same directory; called by all of them.

    The chief writes a token there, which the others must find.

    Args:
        directory: the directory of the run.
        strategy: the `tf.distribute.Strategy` of the run.

    Raises:
        OSError: on every worker, if one of them does not see what the chief writes.
    """
    if not strategies.is_multi_worker(strategy):
        return
    token = int(replicas.broadcast(tf.constant(secrets.randbelow(2**31)), strategy))
    path = Path(directory) / f"worker_token_{token}"
    if strategies.is_chief(strategy):
        path.touch()
    replicas.any_worker(False, strategy)  # No one looks before it is there.
    is_missing = replicas.any_worker(not _appears(path), strategy)
    if strategies.is_chief(strategy):
        path.unlink()
    if is_missing:
        raise OSError(
            f"{directory} is not the same directory on all workers: a file that the first one "
            "wrote was not found on another. Choose a --run_dir that all hosts share."
        )


def _appears(path):
    end = time.monotonic() + SECONDS_TO_APPEAR
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True
