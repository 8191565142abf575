"""Benchmarks: ratios against a by-hand script or an empty Python in the same run. Never part of the tests."""
