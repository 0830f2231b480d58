"""Leaving in good order when the cluster wants the machine back."""

import signal
import threading

from ccpdml.cluster import replicas
from ccpdml.training.callbacks.checkpoint import Checkpoint
from ccpdml.training.callbacks.outer_callback import OuterCallback, Stage

EXIT_CODE = 75
"""Of a process that was asked to stop and can be started again: EX_TEMPFAIL, "try again"."""


class Preempted(Exception):  # noqa: N818
    """The run was asked to stop (SIGTERM), and has written a checkpoint to go on from."""


class Preemption(OuterCallback):
    """Turns SIGTERM into a checkpoint after the current call of the inner loop, and `Preempted`.

    If any worker gets the signal, all stop at the same step. A second signal kills at once. Put it
    after the `Checkpoint`, and `fit` inside `with preemption:`, where the signal is watched.

    Args:
        checkpoint: the `Checkpoint` of the same `fit`.
    """

    stage = Stage.EXIT

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.checkpoint = checkpoint
        self.is_asked = False
        self.previous = None

    def __enter__(self):
        # Python lets no other thread watch signals.
        if threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *_):
        if self.previous is not None:
            signal.signal(signal.SIGTERM, self.previous)

    def _ask(self, number, frame):
        self.is_asked = True
        signal.signal(number, self.previous)

    def on_train_batch_end(self, batch, logs=None):
        if replicas.any_worker(self.is_asked, self.model.distribute_strategy):
            self.checkpoint.save()
            self._leave()

    def on_train_end(self, logs=None):
        # Asked after the last step, of which the checkpoint of the last evaluation is.
        if replicas.any_worker(self.is_asked, self.model.distribute_strategy):
            self._leave()

    def _leave(self):
        raise Preempted(f"Asked to stop: a checkpoint of step {self.steps_done} is written.")
