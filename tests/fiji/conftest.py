"""Fixtures of this folder: an ImageJ."""

from __future__ import annotations

from fiji_process import fiji

__all__ = ["fiji"]
