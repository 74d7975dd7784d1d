"""Tests of job files and of what runs them."""
