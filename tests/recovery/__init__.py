"""Estimates recover known truths: one data set quickly, many slowly."""
