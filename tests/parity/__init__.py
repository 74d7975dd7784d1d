"""One answer whatever computes it: engines, threads, cuts and backends."""
