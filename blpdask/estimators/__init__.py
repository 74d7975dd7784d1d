"""Optimisers and the GMM estimator that drives them."""
