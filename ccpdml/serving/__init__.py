"""A trained encoder in use: embed image files, search among them, export."""

from ccpdml.serving import features, hugging_face, indices
from ccpdml.serving.calibration import (
    OperatingPoint,
    Thresholds,
    calibrate,
    read_thresholds,
    test_embeddings,
    threshold_of,
)
from ccpdml.serving.embedding import Embedded, embed_images
from ccpdml.serving.embeddings import Embeddings, read_embeddings
from ccpdml.serving.exporting import ExportError, export
from ccpdml.serving.image_encoder import ImageEncoder, load_encoder
from ccpdml.serving.looking import UnreadableImageError
from ccpdml.serving.neighbors import embed_queries, match, search
from ccpdml.serving.registered import Parameter, register_preprocessing, register_view
from ccpdml.serving.results import Results
from ccpdml.serving.sources import ImageFiles, find_images

__all__ = [
    "Embedded",
    "Embeddings",
    "ExportError",
    "ImageEncoder",
    "ImageFiles",
    "OperatingPoint",
    "Parameter",
    "Results",
    "Thresholds",
    "UnreadableImageError",
    "calibrate",
    "embed_images",
    "embed_queries",
    "export",
    "features",
    "find_images",
    "hugging_face",
    "indices",
    "load_encoder",
    "match",
    "read_embeddings",
    "read_thresholds",
    "register_preprocessing",
    "register_view",
    "search",
    "test_embeddings",
    "threshold_of",
]
