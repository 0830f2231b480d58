"""Encoders: a backbone joined to an embedding head."""

from ccpdml.models.encoder import build_encoder, standalone
from ccpdml.models.small import small_cnn

__all__ = ["build_encoder", "small_cnn", "standalone"]
