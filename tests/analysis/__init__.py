"""Tests of ``blpdask.analysis``."""
