"""The network of an encoder in the formats of other programs.

A converter is called `convert(model, path, inputs)`: it writes `path`, and returns what the written
file makes of `inputs`, float32 [n, height, width, channels].
"""

import warnings

import tensorflow as tf

from ccpdml import compat

OPSET = 17  # Of ONNX; read by onnxruntime from 1.12 on.


def to_tflite(model, path, inputs):
    """Writes a TFLite file; any number of images may be set as its batch."""
    function, owner = _function(model), tf.Module()
    # The converter takes the variables of this module; those of a Keras 3 model it does not see.
    owner.weights = [compat.raw(variable) for variable in model.weights]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], owner
    )
    path.write_bytes(converter.convert())
    with warnings.catch_warnings():
        # TensorFlow announces that the interpreter will move to a package of its own.
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        interpreter = tf.lite.Interpreter(model_path=str(path))
    (wanted,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(wanted["index"], inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(wanted["index"], inputs)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def to_onnx(model, path, inputs):
    """Writes an ONNX file with the input `images` and the output `embeddings`.

    Raises:
        ImportError: if one of the packages it needs is missing; says what to install.
    """
    tf2onnx, onnxruntime = _import_onnx()
    function = _function(model)
    network, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    _name_output(network.graph, "embeddings")
    path.write_bytes(network.SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(["embeddings"], {"images": inputs})
    return embeddings


CONVERTERS = {"onnx": to_onnx, "tflite": to_tflite}


def _function(model):
    """A model as a function of the tensor `images`, for any number of them."""
    spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="images")
    return tf.function(lambda images: model(images, training=False), input_signature=[spec])


def _name_output(graph, name):
    """Gives the one output of an ONNX graph a name, and its batch axis likewise."""
    (output,) = graph.output
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name if each == output.name else each for each in names]
    output.name = name
    for value in (*graph.input, output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def _import_onnx():
    try:
        import onnxruntime
        import tf2onnx
    except (ImportError, AttributeError) as error:  # onnx fails with either.
        raise ImportError(
            "The format onnx needs the packages onnx, tf2onnx and onnxruntime: pip install "
            "'ccpdml[export]'. With TensorFlow 2.15 onnx must be below 1.19: later ones need a "
            f"newer ml-dtypes than it allows. Received: {error}"
        ) from error
    return tf2onnx, onnxruntime
