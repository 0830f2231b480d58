"""Workers that wait for each other, but not forever."""

import contextlib
import socket
import time
from collections.abc import Sequence

from absl import logging

_SECONDS_BETWEEN_TRIES = 0.2


class WorkersMissingError(ConnectionError):
    """An error: a worker of the cluster did not start in time."""


def wait_for_all(addresses: Sequence[str], own: int, timeout: float) -> None:
    """Returns once every worker answers, and leaves the own address free again.

    TensorFlow's own wait takes an hour and cannot be interrupted.

    Args:
        addresses: "host:port" of every worker, all in the same order.
        own: index of this one.
        timeout: seconds to wait, float.

    Raises:
        WorkersMissingError: if a worker does not answer in time, naming it.
        OSError: if the own port is taken.
    """
    others = [address for index, address in enumerate(addresses) if index != own]
    end = time.monotonic() + timeout
    with _listening(addresses[own]):
        missing = others
        while missing := [address for address in missing if not _answers(address)]:
            if time.monotonic() > end:
                raise WorkersMissingError(
                    f"No answer from {', '.join(missing)} in {timeout:g} seconds. Start all "
                    "workers within that time, and check their names, ports and firewalls."
                )
            logging.log_first_n(logging.INFO, "Waiting for %s", 1, ", ".join(missing))
            time.sleep(_SECONDS_BETWEEN_TRIES)


@contextlib.contextmanager
def _listening(address):
    """Lets the others see this worker; from then on TensorFlow's server does."""
    port = int(address.rpartition(":")[2])
    try:
        listener = socket.create_server(("", port))
    except OSError as error:
        raise OSError(
            f"Port {port} of this worker ({address}) cannot be opened: {error}. Is another run "
            "using it?"
        ) from error
    with listener:
        yield


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True
