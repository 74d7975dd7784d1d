"""Optimisers: from a starting point to a minimum, in as few evaluations as can be."""
