"""The exported graph around a network: image in, image out.

DeepImageJ knows no way back from normalized values to the units of the image, takes percentiles in its own way,
and feeds an image whose size is no multiple of the network's divisor as overlapping tiles off the pooling grid.
So the graph does all three by itself: it normalizes each sample, mirrors it up to the next multiple, runs the
network, cuts the result to size and returns to the units of the image. What DeepImageJ puts out is then what
`dl4fiji.prediction` puts out, for images of any size. Only operations that TensorFlow 1.15 knows are used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dl4fiji.data.normalization import (
    EPSILON,
    FixedNormalization,
    Normalization,
    PercentileNormalization,
    ZScoreNormalization,
)
from dl4fiji.export.frozen_graph import OUTPUT
from dl4fiji.prediction.recipe import Recipe


def pad_to_multiple(tf: Any, x: Any, divisor: tuple[int, ...]) -> Any:
    """Extend ``x`` (N, spatial, C) at the end of each spatial axis to a multiple of ``divisor`` by mirroring.

    The pixel at the edge is repeated, as by numpy's ``symmetric``; it works for axes shorter than the padding.
    """
    for axis, step in enumerate(divisor, start=1):
        if step == 1:
            continue
        size = tf.shape(x)[axis]
        place = tf.math.floormod(tf.range((size + step - 1) // step * step), 2 * size)
        x = tf.gather(x, tf.minimum(place, 2 * size - 1 - place), axis=axis)
    return x


def _percentiles(tf: Any, x: Any, normalization: PercentileNormalization) -> tuple[Any, Any]:
    """Return offset and scale of each sample and channel: ``sorted[int(n · p / 100)]``, n pixels."""
    dimensions = len(x.shape) - 2
    channels = int(x.shape[-1])
    shape = tf.shape(x)
    count = tf.reduce_prod(shape[1:-1])
    rows = tf.reshape(tf.transpose(x, [0, dimensions + 1, *range(1, dimensions + 1)]), [-1, count])
    descending = tf.math.top_k(rows, k=count).values  # the only sort that TensorFlow 1.15 has

    def value(percentile: float) -> Any:
        # In float64, since float32 cannot count the pixels of large images.
        rank = tf.cast(tf.cast(count, tf.float64) * tf.constant(percentile, tf.float64) / 100, tf.int32)
        found = tf.gather(descending, count - 1 - tf.minimum(rank, count - 1), axis=1)
        return tf.reshape(found, tf.concat([shape[:1], [1] * dimensions, [channels]], axis=0))

    low, high = value(normalization.low), value(normalization.high)
    return low, high - low + tf.constant(EPSILON, tf.float32)


def offset_and_scale(tf: Any, x: Any, normalization: Normalization) -> tuple[Any, Any]:
    """Return what is taken from ``x`` (N, spatial, C) and what it is divided by, broadcastable to ``x``."""
    if isinstance(normalization, PercentileNormalization):
        return _percentiles(tf, x, normalization)
    if isinstance(normalization, FixedNormalization):
        return tf.constant(normalization.mean, tf.float32), tf.constant(normalization.std, tf.float32)
    assert isinstance(normalization, ZScoreNormalization)
    axes = list(range(1, len(x.shape) - 1))
    mean = tf.reduce_mean(x, axis=axes, keepdims=True)
    spread = tf.sqrt(tf.reduce_mean(tf.square(x - mean), axis=axes, keepdims=True))
    return mean, spread + tf.constant(EPSILON, tf.float32)


def image_function(tf: Any, model: Any, recipe: Recipe) -> Callable[[Any], dict[str, Any]]:
    """Return the function from images (N, spatial, C; float32, raw values) to the results in image units.

    There is one output, ``output``, with the channels of all outputs one after the other: bioimageio.core takes
    several outputs of a SavedModel in an order that changes from run to run, and the CSBDeep plugin takes but one.
    Without ``recipe.image_units`` the results stay as the network puts them out.
    """

    def run(x: Any) -> dict[str, Any]:
        offset, scale = offset_and_scale(tf, x, recipe.normalization)
        y = model(pad_to_multiple(tf, (x - offset) / scale, recipe.divisor), training=False)
        sizes = tf.shape(x)
        crop = [slice(0, sizes[axis]) for axis in range(1, len(recipe.axes))]
        return {OUTPUT: _in_units(tf, y[(slice(None), *crop)], recipe, offset, scale)}

    return run


def _in_units(tf: Any, y: Any, recipe: Recipe, offset: Any, scale: Any) -> Any:
    """Return the channels of all outputs in image units, if that is what the recipe wants."""
    parts = []
    for output in recipe.outputs:
        part = y[..., slice(*output.channels)]
        if recipe.image_units:
            part = part * scale if output.spread else part * scale + offset
        parts.append(part)
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


def tile_function(tf: Any, model: Any, recipe: Recipe) -> Callable[[Any], dict[str, Any]]:
    """Return what a program runs that cuts images into tiles.

    The bare network, as by `network_function`. Only a normalization by constants is part of it, forth and back,
    since it is the same for each tile and such programs could not know it.
    """
    if not isinstance(recipe.normalization, FixedNormalization):
        return network_function(tf, model)

    def run(x: Any) -> dict[str, Any]:
        offset, scale = offset_and_scale(tf, x, recipe.normalization)
        y = model((x - offset) / scale, training=False)
        return {OUTPUT: _in_units(tf, y, recipe, offset, scale)}

    return run


def network_function(tf: Any, model: Any) -> Callable[[Any], dict[str, Any]]:
    """Return the bare network: normalized values in and out, all channels in one output.

    This is the form that csbdeep exports.
    """

    def run(x: Any) -> dict[str, Any]:
        return {OUTPUT: tf.identity(model(x, training=False))}

    return run
