"""Losses of deep metric learning, each a Keras layer.

A pair loss maps (distances, positive, negative) to a scalar. A criterion maps
(embeddings, labels) to a scalar and owns what it compares the embeddings with.
"""

from ccpdml.losses.ccp import ChanceConstrainedLoss
from ccpdml.losses.compare import BatchPairs, InBatch, compare
from ccpdml.losses.contrastive import ContrastiveLoss, CosineContrastiveLoss
from ccpdml.losses.criterion import Criterion
from ccpdml.losses.multi_similarity import MultiSimilarityLoss
from ccpdml.losses.pair_loss import PairLoss
from ccpdml.losses.triplet import TripletLoss

__all__ = [
    "BatchPairs",
    "ChanceConstrainedLoss",
    "ContrastiveLoss",
    "CosineContrastiveLoss",
    "Criterion",
    "InBatch",
    "MultiSimilarityLoss",
    "PairLoss",
    "TripletLoss",
    "compare",
]
