"""The callbacks of a `fit` as one object: named, in order, with their state in one checkpoint."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from ccpdml.training.callbacks.checkpoint import Checkpoint
from ccpdml.training.callbacks.early_stopping import EarlyStopping
from ccpdml.training.callbacks.outer_callback import Checkpointed, OuterCallback, Stage


class OuterLoop:
    """The callbacks of a run: each has a name and acts in its `Stage`, in whatever order given.

    Ours know their stages; Keras's and others' act in `Stage.EXTRA`, after the evaluation and what
    it leads to, before anything is logged or saved. Inside a stage the order given holds. If a
    `Checkpoint` is among them it keeps the state of all that are `Checkpointed` under their names.

        outer = OuterLoop([RetrievalEvaluation(...), EarlyStopping(), Checkpoint("runs/mine")])
        outer.fit(learner, batches, steps_per_epoch=50, epochs=60)

    Of several `EarlyStopping`s any can end the run; the first one's best weights come back.

    Args:
        callbacks: Keras callbacks, each called by the name of its class.
        **named: further ones by a name of their own, which two of one class need.

    Raises:
        ValueError: if two have one name, something is no callback, one has a `stage` and is no
            `OuterCallback`, or `Checkpoint` is there twice or was given callbacks of its own.
    """

    def __init__(
        self,
        callbacks: Sequence[tf.keras.callbacks.Callback] = (),
        /,
        **named: tf.keras.callbacks.Callback,
    ):
        pairs = [(_class(callback), callback) for callback in callbacks] + [*named.items()]
        self._named = dict(sorted(_distinct(pairs), key=lambda pair: _stage(pair[1])))
        for other in [c for c in self if isinstance(c, EarlyStopping)][1:]:
            other.puts_back = False
        self.checkpoint = _only_checkpoint(self._named.values())
        self._position: tuple[int, int] | None = None
        self._learner: tf.keras.Model | None = None
        if self.checkpoint is not None:
            self.checkpoint.own(
                {n: c for n, c in self._named.items() if isinstance(c, Checkpointed)}
            )

    def __iter__(self) -> Iterator[tf.keras.callbacks.Callback]:
        """The callbacks in the order in which they act."""
        return iter(self._named.values())

    def __getitem__(self, name: str) -> tf.keras.callbacks.Callback:
        return self._named[name]

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def first(self, kind: type) -> tf.keras.callbacks.Callback:
        """The first callback of a class; `StopIteration` if there is none."""
        return next(callback for callback in self if isinstance(callback, kind))

    @property
    def names(self) -> list[str]:
        """The names of the callbacks, in the order in which they act."""
        return list(self._named)

    @property
    def is_over(self) -> bool:
        """Tells whether an `EarlyStopping` has ended the run; known once it is restored."""
        return any(c.is_over for c in self if isinstance(c, EarlyStopping))

    def restore(self, learner: tf.keras.Model) -> tuple[int, int]:
        """Puts the newest checkpoint back, if there is one; `fit` does it where this was not done.

        Returns:
            Tuple (epochs done, steps done); (0, 0) where there is nothing to go on from.

        Raises:
            ValueError: if another learner was trained with these callbacks, which keep its state.
        """
        if self._learner not in (None, learner):
            raise ValueError(
                "An `OuterLoop` belongs to the learner that it was first used with, whose best "
                "weights and counters its callbacks keep: build another `OuterLoop`, with "
                f"callbacks of its own. Received: another learner, {learner.name!r}"
            )
        self._learner = learner
        position = (0, 0) if self.checkpoint is None else self.checkpoint.restore(learner)
        self._position = position
        return position

    def fit(
        self,
        learner: tf.keras.Model,
        batches: Callable[[int], tf.data.Dataset],
        steps_per_epoch: int,
        epochs: int,
        **kwargs,
    ) -> tf.keras.callbacks.History:
        """Trains, or goes on from the newest checkpoint as if training had never stopped.

        Args:
            learner: a compiled `MetricLearner`.
            batches: function of a step -> dataset of the batches from that step on.
            steps_per_epoch: steps between two evaluations, int.
            epochs: evaluations of the whole run, those before it stopped included, int.
            **kwargs: further arguments of `learner.fit`.

        Returns:
            What `learner.fit` returns.
        """
        position = self._position if learner is self._learner else None
        epochs_done, steps_done = position or self.restore(learner)
        self._position = None
        with contextlib.ExitStack() as stack:
            for callback in self:
                if isinstance(callback, contextlib.AbstractContextManager):
                    stack.enter_context(callback)
            return learner.fit(
                batches(steps_done),
                # One that is over trains no more; Keras's train end puts the best weights back.
                initial_epoch=epochs if self.is_over else min(epochs_done, epochs),
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
                callbacks=list(self),
                **({"shuffle": False, "verbose": 0} | kwargs),
            )


def _stage(callback):
    if isinstance(callback, OuterCallback):
        return callback.stage
    if isinstance(getattr(callback, "stage", None), Stage):
        raise ValueError(
            f"Only a `training.OuterCallback` has a stage: make it the base of {_class(callback)}. "
            f"Received: {_class(callback)}.stage={callback.stage}"
        )
    return Stage.EXTRA


def _class(callback):
    return type(callback).__name__


def _distinct(pairs):
    seen = set()
    for name, callback in pairs:
        if not isinstance(callback, tf.keras.callbacks.Callback):
            raise ValueError(f"`callbacks` must be Keras callbacks. Received: {callback!r}")
        if name in seen:
            raise ValueError(
                f"Two callbacks are called {name!r}, and a checkpoint could keep one of them only. "
                f"Give one a name of its own: `OuterLoop([...], my_name={_class(callback)}(...))`, "
                f"in a run `train.callbacks = {{'my_name': @{_class(callback)}, ...}}`."
            )
        seen.add(name)
    return pairs


def _only_checkpoint(callbacks):
    found = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
    if len(found) > 1 or any(checkpoint.callbacks for checkpoint in found):
        raise ValueError(
            "An `OuterLoop` has one `Checkpoint` at most, which keeps the state of all of its "
            f"callbacks: leave `Checkpoint.callbacks` out. Received: {len(found)} of them"
        )
    return found[0] if found else None
