"""Tests of ``blpdask.partitions``."""
