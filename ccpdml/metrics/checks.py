"""Checks of the labels that are given to a metric."""

import numpy as np


def labels(values, num_rows, name):
    """`values` as [num_rows], from [num_rows] or [num_rows, 1]."""
    values = np.asarray(values)
    if values.shape not in ((num_rows,), (num_rows, 1)):
        raise ValueError(
            f"`{name}` must be [{num_rows}] or [{num_rows}, 1], a label per embedding. "
            f"Received: {name}.shape={values.shape}"
        )
    return values.reshape(-1)


def classes_or_several(values, num_rows, name):
    """Classes as of `labels`; or several labels of each row, bool [num_rows, num_labels]."""
    values = np.asarray(values)
    if values.dtype != bool or values.ndim != 2:
        return labels(values, num_rows, name)
    if len(values) != num_rows:
        raise ValueError(
            f"`{name}` must be [{num_rows}, num_labels], a row per embedding. "
            f"Received: {name}.shape={values.shape}"
        )
    return values
