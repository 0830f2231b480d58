"""Proxies that are chosen anew while your model trains, in `fit`; stopped at any time, it resumes.

python examples/proxies_in_fit.py runs/proxies_in_fit 15

The second argument is the number of epochs. Give the command again with a larger one, or after
killing it: training goes on from the last checkpoint in the folder.
"""

import sys

import tensorflow as tf

from ccpdml import data, losses, metrics, training

directory, epochs = sys.argv[1], int(sys.argv[2])
tf.keras.utils.set_random_seed(0)
glyphs = data.load("glyphs")
train, validation, test = glyphs.train, glyphs.validation, glyphs.test

model = tf.keras.Sequential(  # Your own; it ends in one vector per image.
    [
        tf.keras.Input((32, 32, 1)),
        tf.keras.layers.Rescaling(1 / 255),
        tf.keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
        tf.keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(64),
    ]
)

# The loss owns four trainable points, the proxies, for each class; the learner trains them with the
# model. The learner is a Keras model itself: it has `fit` and `predict`.
pair_loss = losses.MultiSimilarityLoss()
loss = losses.ChanceConstrainedLoss(pair_loss, train.num_classes, proxies_per_class=4)
learner = training.MetricLearner(model, loss, prox_weight=2e-4)
learner.compile(tf.keras.optimizers.Adam(3e-3), steps_per_execution=25)

# An epoch is what lies between two evaluations on validation classes: classes that neither train
# nor test.
evaluation = training.RetrievalEvaluation((validation.images, validation.labels))
pool = training.PoolDraw(learner, train, pool_size=8)
# When an evaluation brings no gain, the proxies are chosen anew. Counting less than 0.02 as no gain
# makes that happen within this short run; leave `min_delta` and `patience` alone in a long one.
proxies = training.ProxyReinitialization(pool, patience=1, min_delta=0.02)
# Stops when nothing is gained any more, and puts the best weights back at the end.
stopping = training.EarlyStopping(patience=60)
# Puts them in order, Keras's own among them if there are any, and keeps the state of all of them.
outer = training.OuterLoop([evaluation, proxies, stopping, training.Checkpoint(directory)])

sampler = data.samplers.ClassBalancedSampler(train.labels, classes_per_batch=8, samples_per_class=4)


def batches(first_step):
    """The batches are a function of seed and step, so they go on where they were."""
    view = data.views.RandomShift()
    return data.pipelines.training_batches(train, sampler, view, first_step=first_step)


history = outer.fit(learner, batches, steps_per_epoch=50, epochs=epochs, verbose=2)
embeddings = learner.predict(test.images, verbose=0)
scores = metrics.retrieval(embeddings, test.labels)
print(f"MAP@R of unseen characters: {scores['mean_average_precision_at_r']:.3f}")
