"""Workers wait for each other, and say whom they miss."""

import socket
import threading

import pytest

from ccpdml.cluster import rendezvous
from tests.training import processes


def test_workers_that_start_one_after_the_other_meet():
    addresses = [f"localhost:{port}" for port in processes.free_ports(3)]
    met = []

    def start(index):
        rendezvous.wait_for_all(addresses, index, timeout=20.0)
        # As TensorFlow's server does, the worker goes on answering at its address.
        listener = socket.create_server(("", int(addresses[index].split(":")[1])))
        met.append((index, listener))

    threads = [threading.Timer(0.3 * index, start, [index]) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _, listener in met:
        listener.close()
    assert sorted(index for index, _ in met) == [0, 1, 2]


def test_a_worker_that_does_not_come_is_named():
    addresses = [f"localhost:{port}" for port in processes.free_ports(2)]
    with pytest.raises(rendezvous.WorkersMissingError, match=f"No answer from {addresses[1]}"):
        rendezvous.wait_for_all(addresses, 0, timeout=0.5)


def test_a_port_in_use_is_told():
    with socket.create_server(("", 0)) as taken:
        address = f"localhost:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="cannot be opened"):
            rendezvous.wait_for_all([address, "localhost:1"], 0, timeout=0.5)
