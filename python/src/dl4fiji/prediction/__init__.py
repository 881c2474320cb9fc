"""Running trained models: tiles without seams, in memory bounded by the tile."""
