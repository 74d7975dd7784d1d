"""Tests of the estimators floor."""
