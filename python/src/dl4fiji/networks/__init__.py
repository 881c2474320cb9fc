"""The networks, one file each. A new one is its file and its line here."""

from __future__ import annotations

from dl4fiji.errors import NotFoundError
from dl4fiji.network import Network
from dl4fiji.networks.care import Care2D, Care3D
from dl4fiji.networks.noise2void import Noise2Void2D, Noise2Void3D
from dl4fiji.networks.stardist import StarDist2D, StarDist3D
from dl4fiji.networks.unet import UNet2D, UNet3D

NETWORKS: tuple[Network, ...] = (
    Care2D(), Care3D(), Noise2Void2D(), Noise2Void3D(), StarDist2D(), StarDist3D(), UNet2D(), UNet3D(),
)  # fmt: skip
"""All networks, in the order of menus."""


def get(name: str) -> Network:
    """Return the network called ``name``, its name or its title.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    for network in NETWORKS:
        if name.strip().lower() in (network.name, network.title.lower()):
            return network
    known = ", ".join(network.name for network in NETWORKS)
    raise NotFoundError(f"There is no network {name!r}: the networks are {known}.")
