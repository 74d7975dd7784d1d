"""Arrays in, arrays out: the only floor that knows hardware."""
