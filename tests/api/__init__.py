"""Tests of the public classes."""
