"""``dl4fiji demo``: the main job on a real micrograph, from the menu script to Fiji's engines."""

from dl4fiji.demo.run import run_demo

__all__ = ["run_demo"]
