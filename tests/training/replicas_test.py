"""Every method on two replicas, of one process or two, is that method on one."""

import inspect
import json
import os
import re
import sys

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses
from ccpdml.losses.miners import Miner
from tests import forks
from tests.training import methods, processes

TOLERANCE = 1e-5


def start_workers(path):
    """Starts two processes that train every method together; the chief's results go to `path`."""
    command = [sys.executable, methods.__file__, path]
    return [
        forks.Program(command, cwd=processes.ROOT, env=os.environ | environment)
        for environment in processes.cluster(2)
    ]


def differing(outcome, expected):
    """What differs by more than the tolerance: relative differences by "method/array"."""
    assert outcome.keys() == expected.keys()
    found = {name: methods.difference(outcome[name], expected[name]) for name in expected}
    return {name: value for name, value in found.items() if value > TOLERANCE}


@pytest.mark.slow
def test_every_method_on_two_replicas_is_that_on_one(tmp_path, two_replicas):
    workers = start_workers(tmp_path / "workers.npz")
    try:
        expected = methods.train_all(tf.distribute.get_strategy())
        assert not differing(methods.train_all(two_replicas), expected)
        outputs = processes.finish(workers, timeout=400)
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    with np.load(tmp_path / "workers.npz") as arrays:
        assert not differing(dict(arrays), expected)


def test_every_public_loss_is_among_the_methods():
    built = [json.dumps(build().get_config()) for build in methods.criteria().values()]
    nested = set(re.findall(r'"class_name": "(?:ccpdml>)?(\w+)"', " ".join(built)))
    built = nested | {type(build()).__name__ for build in methods.criteria().values()}
    kinds = (losses.PairLoss, losses.Criterion, losses.ExtraClasses, Miner)
    public = [getattr(losses, name) for name in losses.__all__]
    public = {each.__name__ for each in public if inspect.isclass(each) and issubclass(each, kinds)}
    bases = {"PairLoss", "Criterion", "ProxyCriterion", "ExtraClasses"}
    only_with_addons = {"AddonsLoss"}
    assert public - bases - only_with_addons <= built
