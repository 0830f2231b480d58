"""Numbers of bfloat16, which NumPy does not have."""

import numpy as np

# The upper half of a float32, by which alone it is told from other integers of 16 bits.
BFLOAT16 = np.dtype([("upper_half_of_float32", "<u2")])


def plain(array):
    """An array of `BFLOAT16` as float32, exactly; a copy of any other."""
    if array.dtype != BFLOAT16:
        return array.copy()
    halves = array["upper_half_of_float32"].astype(np.uint32)
    return np.asarray(halves << 16).view(np.float32)
