"""Blocks at work: engines that map a pass over blocks and add its records in order."""
