"""Figures for Prometheus, served over HTTP by the programs that have them."""
