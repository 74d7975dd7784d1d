"""Tests of the integration rules."""
