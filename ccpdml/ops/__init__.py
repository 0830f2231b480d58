"""Pure tensor functions: distances, masks, normalization, core-sets, reductions, replicas."""

from ccpdml.ops import (
    coreset,
    distances,
    masks,
    normalization,
    precision,
    reduction,
    replicas,
    stacks,
)

__all__ = [
    "coreset",
    "distances",
    "masks",
    "normalization",
    "precision",
    "reduction",
    "replicas",
    "stacks",
]
