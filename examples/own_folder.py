"""Your own images, one folder per class: train, evaluate, save, embed.

python examples/own_folder.py photos runs/own_folder

`photos` holds train/<class>/*.jpg and test/<class>/*.jpg, or just <class>/*.jpg, whose classes are
then divided by name. Classes to test on are never trained on: the embedding is to work for new ones
too.
"""

import sys
from pathlib import Path

import tensorflow as tf

from ccpdml import data, losses, models, serving, training

folder, output = sys.argv[1], Path(sys.argv[2])
tf.keras.utils.set_random_seed(0)
splits = data.load("folder", root=folder)  # A quarter of the classes to train on validates.
train, validation, test = splits.train, splits.validation, splits.test

# What the network sees of a file: a random part in training, the middle otherwise. For photographs
# 227 and 256 pixels are usual, with a pre-trained network (gin/datasets/folder.gin has such a run).
training_view = data.views.RandomResizedCrop(size=32, area=(0.5, 1.0), mirror=False)
plain_view = data.views.CenterCrop(size=32, short_side=32)

model = tf.keras.Sequential(  # Your own; it takes uint8 pixels and ends in one vector per image.
    [
        tf.keras.Input((32, 32, 3)),
        tf.keras.layers.Rescaling(1 / 127.5, offset=-1),  # To -1..1: around 0.
        tf.keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
        tf.keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(64),
    ]
)
loss = losses.ChanceConstrainedLoss(losses.MultiSimilarityLoss(), train.num_classes)
learner = training.MetricLearner(model, loss)
# Larger rates draw all images onto one point; `training.CollapseAlarm` would say so.
learner.compile(tf.keras.optimizers.Adam(1e-3), steps_per_execution=25)


def evaluation(images):
    """The retrieval scores of images, each searched among all the others."""
    return training.RetrievalEvaluation(
        (data.pipelines.image_batches(images, plain_view, batch_size=64), images.labels)
    )


sampler = data.samplers.ClassBalancedSampler(train.labels, classes_per_batch=8, samples_per_class=4)
pool = training.PoolDraw(learner, train, plain_view=plain_view)
validating = evaluation(validation)
learner.fit(
    data.pipelines.training_batches(train, sampler, training_view),
    steps_per_epoch=50,
    epochs=4,
    callbacks=[
        validating,
        training.CollapseAlarm(validating),
        training.EarlyStopping(),
        training.ProxyReinitialization(pool),
    ],
    shuffle=False,
    verbose=2,
)
scores = evaluation(test).evaluate(learner)
print(f"Classes never seen: MAP@R {scores['map_at_r']:.3f}, P@1 {scores['precision_at_1']:.3f}")

# A plain Keras model, normalizing as in training, that TensorFlow alone loads; and a note beside it
# of what it wants files to be made into, for `load_encoder`, experiments/embed.py and search.py.
encoder = models.standalone(model, loss.normalization)
note = serving.description.describe(encoder, plain_view, learner.preprocess, loss.normalization)
output.mkdir(parents=True, exist_ok=True)
encoder.save(output / "encoder.keras")
serving.description.write(output / "encoder.json", note)

images = serving.find_images(folder)
serving.embed_images(serving.load_encoder(output), images, output / "embeddings.npz")
