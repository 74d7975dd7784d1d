"""How blocks add up: the partial and the combine of each statistic, side by side."""
