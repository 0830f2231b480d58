"""A metric-learning loss in stock Keras: your model, `compile`, `fit`. Seconds on a CPU.

python examples/in_batch_loss.py

The loss is that of the pairs of a batch; only the model has weights. For losses with weights of
their own (proxies, memories) see proxies_in_fit.py.
"""

import tensorflow as tf

from ccpdml import data, layers, losses, metrics

tf.keras.utils.set_random_seed(0)

# Characters in many typefaces: images uint8 [n, 32, 32, 1], labels int [n]. Train and test have no
# class in common: the model is asked to tell apart characters that it has never seen.
glyphs = data.load("glyphs")
train, test = glyphs.train, glyphs.test

# Any model that ends in one vector per image will do.
model = tf.keras.Sequential(
    [
        tf.keras.Input((32, 32, 1)),
        tf.keras.layers.Rescaling(1 / 255),
        tf.keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
        tf.keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(64),
    ]
)


def score():
    """MAP@R: every test image is searched among all the others; 1 is perfect."""
    # The losses compare embeddings that have passed x / max(1, |x|); so must whoever compares them.
    embeddings = layers.LipschitzNormalization()(model.predict(test.images, verbose=0))
    return metrics.retrieval(embeddings, test.labels)["mean_average_precision_at_r"]


# A pair loss needs several images of a class in a batch, which plain shuffling hardly ever gives.
# So: 8 classes x 4 images, for ever.
sampler = data.samplers.ClassBalancedSampler(train.labels, classes_per_batch=8, samples_per_class=4)
batches = data.pipelines.training_batches(train, sampler, data.views.Plain())

before = score()
model.compile(tf.keras.optimizers.Adam(1e-3), loss=losses.InBatch(losses.MultiSimilarityLoss()))
model.fit(batches, steps_per_epoch=100, epochs=3, shuffle=False, verbose=2)
after = score()
print(f"MAP@R of unseen characters: {before:.3f} before, {after:.3f} after")
