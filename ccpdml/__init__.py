"""Deep metric learning with chance constraints, in TensorFlow and Keras."""

__version__ = "0.1.0"
