"""Observing a lab: sending traffic, capturing it, and the paths that packets took."""
