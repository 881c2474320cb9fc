"""Losses and metrics of segmentation. Imported only when TensorFlow is there.

Targets have two channels: the number of the class, 0 the background, and the weight of the pixel. Predictions are
probabilities: one channel (sigmoid), or one per class (softmax).
"""

from __future__ import annotations

from typing import Any

from dl4fiji.keras_setup import import_tensorflow

tf = import_tensorflow()
K: Any = tf.keras.backend

FOCUS = 2.0
"""Exponent of the focal loss (Lin et al. 2017, arXiv:1708.02002)."""

_SMOOTH = 1.0
"""Pixels added to both sides of the Dice ratio, so that patches without foreground have a loss of 0."""


def cross_entropy(target: Any, probabilities: Any) -> Any:
    """Return the mean over all pixels of the weighted binary or categorical cross-entropy."""
    return tf.reduce_mean(target[..., 1] * _entropy(target, probabilities))


def focal(target: Any, probabilities: Any) -> Any:
    """Return the weighted cross-entropy of which pixels that are nearly right count little."""
    entropy = _entropy(target, probabilities)
    right = tf.exp(-entropy)
    return tf.reduce_mean(target[..., 1] * (1 - right) ** FOCUS * entropy)


def dice(target: Any, probabilities: Any) -> Any:
    """Return 1 less the mean soft Dice coefficient of the classes without background, over the whole batch."""
    truth, found = _foreground(target, probabilities)
    axes = list(range(len(truth.shape) - 1))
    common = tf.reduce_sum(truth * found, axes)
    total = tf.reduce_sum(truth, axes) + tf.reduce_sum(found, axes)
    return 1 - tf.reduce_mean((2 * common + _SMOOTH) / (total + _SMOOTH))


def all_together(target: Any, probabilities: Any) -> Any:
    """Return the sum of the three losses."""
    return cross_entropy(target, probabilities) + dice(target, probabilities) + focal(target, probabilities)


LOSSES = {"cross_entropy": cross_entropy, "dice": dice, "focal": focal, "sum": all_together}
"""By the values of the option ``loss``."""


def iou_metric(target: Any, probabilities: Any) -> Any:
    """Return the mean IoU of the classes without background that the batch shows, at the threshold 0.5."""
    common, total = _overlap(target, probabilities)
    return _mean_of_shown(common, total - common, total)


def dice_metric(target: Any, probabilities: Any) -> Any:
    """Return the mean Dice coefficient of the classes without background that the batch shows, at 0.5."""
    common, total = _overlap(target, probabilities)
    return _mean_of_shown(2 * common, total, total)


def _entropy(target: Any, probabilities: Any) -> Any:
    """Return the cross-entropy of each pixel; Keras finds the logits before the activation by itself."""
    if probabilities.shape[-1] == 1:
        return K.binary_crossentropy(target[..., :1], probabilities)[..., 0]
    return K.sparse_categorical_crossentropy(target[..., 0], probabilities)


def _foreground(target: Any, probabilities: Any) -> tuple[Any, Any]:
    """Return truth (0 or 1) and probability of each class without background."""
    if probabilities.shape[-1] == 1:
        return target[..., :1], probabilities
    classes = int(probabilities.shape[-1])
    return tf.one_hot(tf.cast(target[..., 0], tf.int32), classes)[..., 1:], probabilities[..., 1:]


def _overlap(target: Any, probabilities: Any) -> tuple[Any, Any]:
    """Return per class without background the pixels in common, and those of truth and prediction together."""
    truth, found = _foreground(target, probabilities)
    if probabilities.shape[-1] == 1:
        found = tf.cast(found >= 0.5, tf.float32)
    else:
        found = tf.one_hot(tf.argmax(probabilities, axis=-1), int(probabilities.shape[-1]))[..., 1:]
    axes = list(range(len(truth.shape) - 1))
    return tf.reduce_sum(truth * found, axes), tf.reduce_sum(truth, axes) + tf.reduce_sum(found, axes)


def _mean_of_shown(part: Any, whole: Any, total: Any) -> Any:
    """Return the mean ratio over classes that occur; 1 if none does, since then nothing is wrong."""
    shown = tf.cast(total > 0, tf.float32)
    mean = tf.reduce_sum(tf.math.divide_no_nan(part, whole)) / tf.maximum(tf.reduce_sum(shown), 1)
    return tf.where(tf.reduce_sum(shown) > 0, mean, 1.0)
