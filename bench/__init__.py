"""Benchmarks: portchain compared with networking-sfc, with growing numbers of chains."""
