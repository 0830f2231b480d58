"""Summary of the scores of repeated runs."""

from collections.abc import Sequence

import numpy as np
from scipy import special


def summarize(values: Sequence[float], confidence: float = 0.95) -> dict[str, float | None]:
    """Mean, standard deviation and confidence interval of a few scores.

    Args:
        values: scores, floats.
        confidence: of the interval by Student's t, float in 0..1.

    Returns:
        Dict with `mean`, `std` (sample standard deviation), `low`, `high` and `count`; `std`, `low`
        and `high` are None where there is one value only.
    """
    values = np.asarray(values, np.float64)
    mean, count = float(values.mean()), len(values)
    if count == 1:
        return {"mean": mean, "std": None, "low": None, "high": None, "count": 1}
    std = float(values.std(ddof=1))
    reach = float(special.stdtrit(count - 1, 0.5 + confidence / 2)) * std / np.sqrt(count)
    return {"mean": mean, "std": std, "low": mean - reach, "high": mean + reach, "count": count}
