"""Tests of blpdask; folders mirror the floors of the package."""
