"""Monitors, for every rule of stopping: read a score, count evaluations without a better one."""

import math


class Monitor:
    """Follows one entry of the logs.

    Args:
        name: key of the logs.
        mode: "max" if larger is better, "min" if smaller is.
        min_delta: by how much a score must beat the best, float.
    """

    def __init__(self, name, mode, min_delta):
        if mode not in ("max", "min"):
            raise ValueError(f"`mode` must be 'max' or 'min'. Received: {mode=}")
        self.name = name
        self.sign = 1.0 if mode == "max" else -1.0
        self.min_delta = min_delta
        self.restart()

    def restart(self):
        """Forgets all scores."""
        self.best = -math.inf
        self.num_evaluations = 0
        self.num_without_gain = 0

    def update(self, logs):
        """Takes in the logs of one evaluation; returns whether its score is the best so far.

        Raises:
            ValueError: if the score is missing or is not a number.
        """
        if not logs or self.name not in logs:
            raise ValueError(
                f"`monitor` must be in the logs when this callback runs. Received: {self.name!r}, "
                f"logs with {sorted(logs or {})}. Put `RetrievalEvaluation` before it; one of "
                "yours that writes scores has `stage = Stage.EVALUATION` in an `OuterLoop`."
            )
        score = self.sign * float(logs[self.name])
        if math.isnan(score):
            raise ValueError(f"The monitored score is not a number. Received: {self.name}=nan")
        self.num_evaluations += 1
        if score > self.best + self.min_delta:
            self.best, self.num_without_gain = score, 0
            return True
        self.num_without_gain += 1
        return False

    def get_state(self):
        """The counters, as plain numbers."""
        return {
            "best": self.best,
            "num_evaluations": self.num_evaluations,
            "num_without_gain": self.num_without_gain,
        }

    def set_state(self, state):
        """Puts counters from `get_state` back."""
        vars(self).update(state)
