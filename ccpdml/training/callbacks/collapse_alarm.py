"""Alarm, in training, for embeddings or proxies that have collapsed."""

from absl import logging

from ccpdml.metrics import collapse, geometry
from ccpdml.training.callbacks import evaluation
from ccpdml.training.callbacks.evaluation import RetrievalEvaluation
from ccpdml.training.callbacks.outer_callback import OuterCallback, Stage


class CollapseAlarm(OuterCallback):
    """Warns when embeddings or proxies collapse, with the likely causes (`metrics.collapse`).

    It looks at the validation embeddings that were just evaluated and warns when an alarm begins,
    and again if it has gone and comes back. Into the logs go `val_embedding_variance` and, root
    mean squares over pairs, `val_positive_distance` and `val_negative_distance`.

    Args:
        retrieval: the `RetrievalEvaluation` of the same `fit`, before this one in the list.
    """

    stage = Stage.WATCH

    def __init__(self, retrieval: RetrievalEvaluation):
        super().__init__()
        self.retrieval = retrieval
        self.sounding: set[str] = set()

    def on_epoch_end(self, epoch, logs=None):
        proxies, proxy_labels = evaluation.proxies(self.model)
        points = geometry.of_each_label(self.retrieval.embeddings, self.retrieval.labels)
        description = geometry.spread(*points, proxies, proxy_labels)
        for name in ("embedding_variance", "positive_distance", "negative_distance"):
            logs[f"val_{name}"] = description[name]
        alarms = collapse.alarms(description)
        for kind in alarms.keys() - self.sounding:
            logging.warning("Epoch %d: %s", epoch + 1, alarms[kind])
        self.sounding = set(alarms)
