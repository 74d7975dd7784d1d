"""Numbers of PyBLP 1.3.0: stored ones, and the installed package run side by side."""
