"""Tests of ``blpdask.results``."""
