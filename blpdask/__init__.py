"""Demand estimation that starts on a laptop and, unchanged, runs on a cluster."""
