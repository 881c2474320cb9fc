"""Fiji: a session in this Python, the embedded ImageJ, menu scripts and their installation."""
