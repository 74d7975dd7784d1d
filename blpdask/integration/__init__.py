"""Draws and weights: every rule that turns a size and a seed into nodes."""
