"""Whole estimations while processes die, disks fill up and bytes flip."""
