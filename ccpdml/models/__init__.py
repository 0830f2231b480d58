"""Encoders: a backbone joined to an embedding head."""

from ccpdml.models.encoder import build_encoder, standalone
from ccpdml.models.inputs import scale_to_unit_range
from ccpdml.models.small import small_cnn

__all__ = ["build_encoder", "scale_to_unit_range", "small_cnn", "standalone"]
