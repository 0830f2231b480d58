"""Pure tensor functions: distances, masks, normalization, core-sets, reductions."""

from ccpdml.ops import coreset, distances, masks, normalization, precision, reduction

__all__ = ["coreset", "distances", "masks", "normalization", "precision", "reduction"]
