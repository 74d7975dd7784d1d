"""Tests of ``blpdask.model``."""
