"""Losses of deep metric learning, each a Keras layer.

A pair loss maps (distances, positive, negative) to a scalar. A criterion maps
(embeddings, labels) to a scalar and owns what it compares the embeddings with. Extra classes join
the pairs of a criterion.
"""

from ccpdml.losses.addons import AddonsLoss
from ccpdml.losses.ccp import ChanceConstrainedLoss
from ccpdml.losses.compare import BatchPairs, InBatch, compare
from ccpdml.losses.contracts import WithPairLoss, WithProxies
from ccpdml.losses.contrastive import ContrastiveLoss, CosineContrastiveLoss
from ccpdml.losses.criterion import Criterion
from ccpdml.losses.cross_batch_memory import CrossBatchMemory
from ccpdml.losses.extra_classes import ExtraClasses
from ccpdml.losses.hierarchical import HierarchicalProxyAnchorLoss
from ccpdml.losses.margin import ClassMarginLoss, MarginLoss
from ccpdml.losses.mdr import DistanceRegularizedLoss
from ccpdml.losses.miners import DistanceWeightedMiner, HardNegativeMiner, MinedLoss
from ccpdml.losses.multi_similarity import MultiSimilarityLoss
from ccpdml.losses.normalized_softmax import NormalizedSoftmaxLoss
from ccpdml.losses.pair_loss import PairLoss
from ccpdml.losses.proxy_anchor import ProxyAnchorLoss
from ccpdml.losses.proxy_criterion import ProxyCriterion
from ccpdml.losses.proxy_nca import ProxyNCALoss
from ccpdml.losses.proxy_synthesis import ProxySynthesisLoss
from ccpdml.losses.soft_triple import SoftTripleLoss
from ccpdml.losses.synthetic_classes import SyntheticClasses
from ccpdml.losses.threshold_consistent import ThresholdConsistentLoss
from ccpdml.losses.triplet import TripletLoss
from ccpdml.losses.virtual_classes import VirtualClasses
from ccpdml.losses.virtual_softmax import VirtualSoftmaxLoss

__all__ = [
    "AddonsLoss",
    "BatchPairs",
    "ChanceConstrainedLoss",
    "ClassMarginLoss",
    "ContrastiveLoss",
    "CosineContrastiveLoss",
    "Criterion",
    "CrossBatchMemory",
    "DistanceRegularizedLoss",
    "DistanceWeightedMiner",
    "ExtraClasses",
    "HardNegativeMiner",
    "HierarchicalProxyAnchorLoss",
    "InBatch",
    "MarginLoss",
    "MinedLoss",
    "MultiSimilarityLoss",
    "NormalizedSoftmaxLoss",
    "PairLoss",
    "ProxyAnchorLoss",
    "ProxyCriterion",
    "ProxyNCALoss",
    "ProxySynthesisLoss",
    "SoftTripleLoss",
    "SyntheticClasses",
    "ThresholdConsistentLoss",
    "TripletLoss",
    "VirtualClasses",
    "VirtualSoftmaxLoss",
    "WithPairLoss",
    "WithProxies",
    "compare",
]
