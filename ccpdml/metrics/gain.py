"""The gain of training: scores beside those of what there was before the first step."""

from collections.abc import Mapping

from ccpdml.metrics import names

DECIDES = "map_at_r"
"""Key of the metric that says whether training was worth it."""


def gains(trained: Mapping[str, float], untrained: Mapping[str, float]) -> dict[str, float]:
    """Differences of scores, trained less untrained, by the keys that both have."""
    return {key: trained[key] - untrained[key] for key in trained if key in untrained}


def alarms(
    trained: Mapping[str, Mapping[str, float]], untrained: Mapping[str, Mapping[str, float]]
) -> dict[str, str]:
    """Names the classes on which training made retrieval worse.

    Args:
        trained: scores by key of `metrics.names`, by the part of the data ("test", "validation").
        untrained: likewise, before the first step.

    Returns:
        Dict from the part to a sentence about it with likely causes; empty if all is well.
    """
    found = {}
    for part in [part for part in trained if part in untrained]:
        after, before = trained[part][DECIDES], untrained[part][DECIDES]
        if after < before:
            found[part] = _worse(part, after, before)
    return found


def _worse(part, after, before):
    return (
        f"Worse than not training: {names.label(DECIDES)} of the {part} classes is "
        f"{100 * after:.2f} %, and was {100 * before:.2f} % before the first step. Likely causes: "
        "a learning rate that is too high for weights that were trained already, too few steps, "
        "an embedding that is too small, too few classes to train on. Without a cure use the "
        "network as it was."
    )
