"""Encoders: a backbone joined to an embedding head."""

from ccpdml.models.adaptation import frozen, lora
from ccpdml.models.applications import (
    convnext_tiny,
    efficientnet_b0,
    keras_application,
    resnet50,
    resnet50_v2,
    saved_network,
)
from ccpdml.models.contracts import Backbone, WithPreprocess
from ccpdml.models.encoder import build_encoder, standalone
from ccpdml.models.feature_head import feature_head
from ccpdml.models.hub import from_preset
from ccpdml.models.inception import bn_inception
from ccpdml.models.inputs import keep_range, scale_to_unit_range, standardize, subtract_mean_bgr
from ccpdml.models.resnet import resnet50_torch
from ccpdml.models.small import small_cnn
from ccpdml.models.small_vit import small_vit

__all__ = [
    "Backbone",
    "WithPreprocess",
    "bn_inception",
    "build_encoder",
    "convnext_tiny",
    "efficientnet_b0",
    "feature_head",
    "frozen",
    "from_preset",
    "keep_range",
    "keras_application",
    "lora",
    "resnet50",
    "resnet50_torch",
    "resnet50_v2",
    "saved_network",
    "scale_to_unit_range",
    "small_cnn",
    "small_vit",
    "standalone",
    "standardize",
    "subtract_mean_bgr",
]
