"""Frozen records of estimates, their tables, tests and files."""
