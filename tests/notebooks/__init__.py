"""The notebooks, run from the first cell to the last."""
