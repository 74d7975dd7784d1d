"""Blocks at rest: how markets are planned into blocks and cut."""
