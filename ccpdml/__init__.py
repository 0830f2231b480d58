"""Deep metric learning with chance constraints, in TensorFlow and Keras.

Importing it registers the public names of every room with gin.
"""

__version__ = "0.1.0"

from ccpdml import cluster, data, layers, losses, metrics, models, ops, runs, serving, training

__all__ = [
    "cluster",
    "data",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "runs",
    "serving",
    "training",
]
