"""Benchmarks: measured in interleaved rounds, shown as medians and ratios, never asserted."""
