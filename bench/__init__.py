"""Benchmarks: `python -m bench.NAME` prints a table; each measures Laterna and a peer in one run, interleaved."""
