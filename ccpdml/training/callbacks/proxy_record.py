"""The life of every proxy, written down while a run goes on."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml import files
from ccpdml.ops import coreset
from ccpdml.training.callbacks.outer_callback import Stage, StatefulCallback
from ccpdml.training.callbacks.pool import PoolOfImages
from ccpdml.training.callbacks.reinitialization import ProxyReinitialization
from ccpdml.training.snapshot import Snapshot

END = "end.npz"


class ProxyRecord(StatefulCallback):
    """Writes where proxies were born, how far they moved and how much they covered.

    Each time the proxies are placed it writes `instance_0000.npz`, `instance_0001.npz`, ..., with
    arrays [num_classes, proxies_per_class] unless another shape is given. Of the proxies that the
    instance begins with:

    - `step`: when they were placed, [].
    - `images`: the image each was born from, a row of the training set; only if `draw_pool` is a
      `PoolOfImages`, as `PoolDraw` is.
    - `radius`: largest distance from a pool point whose nearest proxy it is.
    - `curve`: covering radius of the best 1, 2, ... proxies of a class, mean over classes,
      [proxies_per_class].

    Of the proxies that they replace, from the second instance on: `old_moved`, the distance from
    birth, and `old_radius` and `old_curve`, as above in the same pool. At train end `end.npz` has
    `step` and `moved`, of the last proxies. Distances are those of k-center.

    A resumed run drops the files that lie beyond its checkpoint. Put it after `reinitialization`
    and before `Checkpoint`, and give it to `Checkpoint`.

    Args:
        reinitialization: the `ProxyReinitialization` of the same `fit`.
        directory: where the files go, made if missing.
    """

    stage = Stage.RECORD

    def __init__(self, reinitialization: ProxyReinitialization, directory: str | Path):
        super().__init__()
        self.reinitialization = reinitialization
        self.directory = Path(directory)
        self.instance = -1
        self.has_trained = False
        self.born = None
        self.end = None

    def set_model(self, model):
        super().set_model(model)
        if self.born is None:
            with model.distribute_strategy.scope():
                self.born = Snapshot([model.criterion.head.proxies])

    def on_train_begin(self, logs=None):
        for path in self.directory.glob("instance_*.npz"):
            if int(path.stem.split("_")[1]) > self.instance:
                path.unlink()
        if self.instance < 0:
            self.born.take()
            self.instance = 0
        self._record()

    def on_epoch_end(self, epoch, logs=None):
        self.has_trained = True
        self._record()

    def on_train_end(self, logs=None):
        path = self.directory / END
        # A finished run that is started again holds other weights than it ended with.
        if self.has_trained or not path.exists():
            _write(path, self.end)

    def _record(self):
        if self.reinitialization.placement is not None:
            self._record_placement(self.reinitialization.placement)
        # Now, as `EarlyStopping` may put the best weights back before train end comes here.
        live = tf.convert_to_tensor(self.model.criterion.head.proxies)
        moved = self._distance_from_birth(self.reinitialization.comparable(live))
        self.end = {"step": self.steps_done, "moved": moved}

    def _record_placement(self, placement):
        arrays = {
            "step": self.steps_done,
            "radius": coreset.radius_of_each(placement.pool, placement.new),
            "curve": _mean_curve(placement.pool, placement.new),
        }
        pool = self.reinitialization.draw_pool
        if isinstance(pool, PoolOfImages):
            arrays["images"] = np.take_along_axis(pool.drawn, np.asarray(placement.picks), axis=1)
        if placement.instance:
            arrays |= {
                "old_moved": self._distance_from_birth(placement.old),
                "old_radius": coreset.radius_of_each(placement.pool, placement.old),
                "old_curve": _mean_curve(placement.pool, placement.old),
            }
        _write(self.directory / f"instance_{placement.instance:04d}.npz", arrays)
        self.instance = placement.instance
        self.born.take()

    def _distance_from_birth(self, proxies):
        (born,) = self.born.copies
        return tf.norm(
            proxies - self.reinitialization.comparable(tf.convert_to_tensor(born)), axis=-1
        )

    def get_state(self) -> dict[str, Any]:
        """State for checkpoints: the instance being solved, -1 before the run."""
        return {"instance": self.instance}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what `get_state` gave."""
        self.instance = state["instance"]

    def trackables(self) -> dict[str, Any]:
        """Variables that a checkpoint must keep."""
        return {"born": self.born}


def _mean_curve(pool, proxies):
    return tf.reduce_mean(coreset.covering_radii(pool, proxies), axis=0)


def _write(path, arrays):
    with files.replacing(path) as file:
        np.savez_compressed(file, **{name: np.asarray(array) for name, array in arrays.items()})
