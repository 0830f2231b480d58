"""Numbers of bfloat16, which NumPy does not have."""

import numpy as np

# The upper half of a float32, by which alone it is told from other integers of 16 bits.
BFLOAT16 = np.dtype([("upper_half_of_float32", "<u2")])


def plain(array):
    """An array of `BFLOAT16` as float32, exactly; a copy of any other."""
    if array.dtype != BFLOAT16:
        return array.copy()
    halves = array["upper_half_of_float32"].astype(np.uint32)
    # The type is said: of one number alone NumPy 1 makes a longer one.
    return np.asarray(np.left_shift(halves, 16, dtype=np.uint32)).view(np.float32)
