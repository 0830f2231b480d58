"""The end of a problem instance: patience, period, and how many there may be."""

from collections.abc import Sequence


class InstanceEnd:
    """Counts the evaluations of a problem instance and says when it is over.

    Args:
        monitor: the `Monitor` that follows its scores.
        patience, period, min_evaluations, count_early_scores: as of `ProxyReinitialization`.

    Raises:
        ValueError: if an instance would end too early or never.
    """

    def __init__(self, monitor, patience, period, min_evaluations, count_early_scores):
        self.monitor = monitor
        self.patience = patience
        self.periods = tuple(period) if isinstance(period, Sequence) else (period,)
        self.min_evaluations = min_evaluations
        self.count_early_scores = count_early_scores
        self.num_evaluations = 0
        self._check()

    def _check(self):
        received = (
            f"Received: patience={self.patience}, period={self.periods}, "
            f"min_evaluations={self.min_evaluations}"
        )
        given = [period for period in self.periods if period is not None]
        if given and min(given) < self.min_evaluations:
            raise ValueError(
                "`ProxyReinitialization.period` must be at least `.min_evaluations`. " + received
            )
        if self.patience is None and None in self.periods:
            raise ValueError(
                "An instance with neither patience nor a period would never end: bind "
                "`ProxyReinitialization.patience` or `.period`, or `.max_instances` if no other "
                f"instance is to follow. {received}"
            )

    def update(self, logs):
        """Takes in the logs of one evaluation; returns whether its score is the instance's best."""
        self.num_evaluations += 1
        if not self.count_early_scores and self.num_evaluations < self.min_evaluations:
            return False
        return self.monitor.update(logs)

    def is_due(self, instance):
        """Tells whether instance number `instance`, the current one, is over."""
        period = self.periods[min(instance, len(self.periods) - 1)]
        has_converged = (
            self.patience is not None
            and self.monitor.num_without_gain >= self.patience
            and self.num_evaluations >= self.min_evaluations
        )
        return has_converged or (period is not None and self.num_evaluations >= period)

    def restart(self):
        """Forgets the evaluations of the instance that is over."""
        self.monitor.restart()
        self.num_evaluations = 0

    def get_state(self):
        """The counters, as plain numbers."""
        return {"monitor": self.monitor.get_state(), "num_evaluations": self.num_evaluations}

    def set_state(self, state):
        """Puts counters from `get_state` back."""
        self.monitor.set_state(state["monitor"])
        self.num_evaluations = state["num_evaluations"]
