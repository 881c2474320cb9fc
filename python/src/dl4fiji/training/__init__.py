"""Training: one loop for all networks, its checkpoints, the device, the forecast and the making of a model."""
