"""Benchmarks against PyBLP, side by side: ``python -m tests.benchmarks``."""
