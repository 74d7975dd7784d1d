"""The public classes: keywords become records, and calls go downward."""
