"""A camera model: what a scientific camera would have recorded of a scene in little light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A camera with shot noise and read noise (EMVA Standard 1288, release 4.0, section 2).

    Parameters
    ----------
    photons
        Expected photo-electrons of the brightest pixel of the scene.
    background
        Expected photo-electrons of stray light in every pixel.
    read_noise
        Standard deviation of the read-out, in electrons.
    gain
        Grey values (ADU) per electron.
    offset
        Grey value of no light.
    """

    photons: float = 30.0
    background: float = 2.0
    read_noise: float = 1.6
    gain: float = 4.0
    offset: float = 100.0

    def expose(self, scene: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a recording of ``scene`` and its noise-free expectation.

        Parameters
        ----------
        scene
            Intensities of any shape; its largest value gets ``photons``.
        rng
            Source of the noise.

        Returns
        -------
        noisy, clean
            Both in ADU: uint16 ``offset + gain · (Poisson(λ) + N(0, read_noise²))`` and float32 ``offset + gain · λ``
            with ``λ = background + photons · scene / max(scene)``.
        """
        expected = self.background + self.photons * scene.astype(np.float64) / scene.max()
        electrons = rng.poisson(expected) + rng.normal(0.0, self.read_noise, scene.shape)
        noisy = np.clip(np.rint(self.offset + self.gain * electrons), 0, 65535).astype(np.uint16)
        return noisy, (self.offset + self.gain * expected).astype(np.float32)
