"""Job files: schema, defaults, run, report."""
