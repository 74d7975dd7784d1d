"""Tests of ``blpdask.moments``."""
