"""The one place that prepares TensorFlow: call `prepare` before the first import of it or of csbdeep.

csbdeep, stardist and n2v are written for Keras 2, which TensorFlow 2.16 and later offer as the package
``tf_keras`` when ``TF_USE_LEGACY_KERAS`` is set before TensorFlow is imported.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_REQUIRED = {"TF_USE_LEGACY_KERAS": "1"}
_DEFAULTS = {
    "TF_CPP_MIN_LOG_LEVEL": "2",  # errors alone; 0 shows all
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # leave the device's memory to others until it is needed
    "KERAS_BACKEND": "tensorflow",  # Keras 3 is imported by csbdeep only to look at its version
    "MPLBACKEND": "Agg",  # csbdeep imports matplotlib; a worker has no screen
}


def prepare() -> None:
    """Set the environment that TensorFlow reads when it is imported. Does nothing the second time.

    Raises
    ------
    RuntimeError
        If TensorFlow was imported before without Keras 2: a mistake in the program, not of the user.
    """
    if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise RuntimeError("TensorFlow was imported before dl4fiji.keras_setup.prepare() was called.")
    os.environ.update(_REQUIRED)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def import_tensorflow() -> Any:
    """Return the module ``tensorflow``, prepared, logging errors only."""
    prepare()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    # Random layers then keep their state in variables, which checkpoints hold: a resumed training continues
    # with the same random numbers.
    tf.keras.backend.experimental.enable_tf_random_generator()
    return tf


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seed Python, NumPy and TensorFlow.

    Parameters
    ----------
    seed
        Where the random numbers start.
    deterministic
        Choose operations that give the same result each time. Costs nothing on the CPU; on a GPU some
        operations become slower.
    """
    tf = import_tensorflow()
    tf.keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
