"""Exported models: one package for Fiji and others, and proof that it computes what Python computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dl4fiji.export.deepimagej import install_in_fiji as install_in_fiji
    from dl4fiji.export.run import export_model as export_model

__all__ = ["export_model", "install_in_fiji"]


def __getattr__(name: str) -> Any:
    """Load on first use: the parts need very different libraries, and the service needs but one of them."""
    if name == "export_model":
        from dl4fiji.export.run import export_model

        return export_model
    if name == "install_in_fiji":
        from dl4fiji.export.deepimagej import install_in_fiji

        return install_in_fiji
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
