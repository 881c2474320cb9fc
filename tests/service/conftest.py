"""Fixtures of this folder: real services."""

from __future__ import annotations

from serving import client, service

__all__ = ["client", "service"]
