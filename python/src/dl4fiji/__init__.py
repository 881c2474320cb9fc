"""DL4Fiji: train microscopy networks from Fiji, check them, and run them natively in Fiji."""

__version__ = "0.1.0"
