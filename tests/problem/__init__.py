"""Tests of the work on data that is done once: formulas, absorption, tables."""
