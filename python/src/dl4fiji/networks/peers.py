"""What ``config.json`` of csbdeep, n2v and stardist says, in the options of the networks here.

The keys are those of `csbdeep.models.Config`, `n2v.models.N2VConfig`, `stardist.models.Config2D` and ``Config3D``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Description:
    """What is known of a model that a training shall start from."""

    network: str = ""
    """Name of the network here, e.g. ``care-2d``; empty if it is not known."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of that network which the model was trained with, as far as they are known."""
    channels: tuple[int | None, int | None] = (None, None)
    """Channels that go in and come out; None where they are not known."""
    learning_rate: float | None = None
    """The learning rate with which its best weights were found, if known."""
    obstacles: tuple[str, ...] = ()
    """What it has that no option here stands for, e.g. ``blur pooling``."""


def describe_peer(config: Any) -> Description:
    """Return what the configuration of a peer library says; what is not understood is left out."""
    if not isinstance(config, Mapping):
        return Description()
    if "n2v_perc_pix" in config:
        kind, options, obstacles = "noise2void", dict(_noise2void(config)), _noise2void_obstacles(config)
    elif "n_rays" in config:
        kind, options, obstacles = "stardist", dict(_stardist(config)), _stardist_obstacles(config)
    elif "unet_n_depth" in config:
        kind, options, obstacles = "care", dict(_care(config)), _care_obstacles(config)
    else:
        return Description()
    dimensions = config.get("n_dim")
    if dimensions not in (2, 3):
        return Description()
    counts = [config.get(key) for key in ("n_channel_in", "n_channel_out")]
    known = [count if isinstance(count, int) and count > 0 else None for count in counts]
    rate = config.get("train_learning_rate")
    return Description(
        f"{kind}-{dimensions}d",
        options,
        (known[0], None if kind == "stardist" else known[1]),  # stardist counts its rays
        float(rate) if isinstance(rate, int | float) and 0 < rate <= 1 else None,
        tuple(obstacles),
    )


def _given(config: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield options for the keys that the configuration has."""
    for key, option in names.items():
        if config.get(key) is not None:
            value = config[key]
            yield option, tuple(value) if isinstance(value, list) else value


_UNET = {"unet_n_depth": "depth", "unet_kern_size": "kernel_size", "unet_n_first": "first_filters"}


def _care(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from _given(config, {**_UNET, "probabilistic": "probabilistic"})


def _care_obstacles(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("unet_last_activation", "linear") != "linear":
        yield f"{config['unet_last_activation']} as last activation"
    alike = config.get("n_channel_in") == config.get("n_channel_out")
    if config.get("unet_residual", alike) is not alike:
        yield "no residual connection" if alike else "a residual connection"


def _noise2void(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from _given(config, {**_UNET, "batch_norm": "batch_normalization"})
    if isinstance(config.get("n_channel_in"), int) and config["n_channel_in"] > 1:
        yield "channels", "separately" if config.get("single_net_per_channel") else "jointly"


def _noise2void_obstacles(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("blurpool"):
        yield "blur pooling"
    if config.get("skip_skipone"):
        yield "no first skip connection"
    if config.get("unet_residual"):
        yield "a residual connection"
    if config.get("unet_last_activation", "linear") != "linear":
        yield f"{config['unet_last_activation']} as last activation"


def _stardist(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from _given(config, {"n_rays": "rays", "grid": "grid"})
    if config.get("n_dim") == 3:
        yield "anisotropy", tuple(config.get("anisotropy") or (1, 1, 1))
        yield from _given(config, {"backbone": "backbone", "resnet_n_blocks": "blocks"})
    yield from _given(config, {"unet_n_depth": "depth"})
    for body in ("unet", "resnet"):
        names = {f"{body}_n_filter_base": "first_filters", f"net_conv_after_{body}": "feature_filters"}
        yield from _given(config, names)
        sides = config.get(f"{body}_kernel_size")
        if isinstance(sides, list | tuple) and len(set(sides)) == 1:
            yield "kernel_size", sides[0]


def _stardist_obstacles(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("n_classes") is not None:
        yield f"{config['n_classes']} classes of objects"
    if config.get("unet_batch_norm") or config.get("resnet_batch_norm"):
        yield "batch normalization"
    if config.get("unet_n_conv_per_depth", 2) != 2:
        yield f"{config['unet_n_conv_per_depth']} convolutions per level"
    if config.get("resnet_n_conv_per_block", 3) != 3:
        yield f"{config['resnet_n_conv_per_block']} convolutions per block"
    for key in ("unet_kernel_size", "resnet_kernel_size"):
        if len(set(config.get(key) or ())) > 1:
            yield "kernels with sides of their own"
    if set(config.get("unet_pool") or (2,)) != {2}:
        yield "poolings by another factor than 2"
    rays = config.get("rays_json")
    if isinstance(rays, Mapping) and rays.get("name", "Rays_GoldenSpiral") != "Rays_GoldenSpiral":
        yield f"rays of the kind {rays['name']}"
