"""Fixtures of this folder: real services and a real browser."""

from __future__ import annotations

from browsing import browser, window
from serving import client, service

__all__ = ["browser", "client", "service", "window"]
