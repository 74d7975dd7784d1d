"""Tests of ``blpdask.driver``."""
