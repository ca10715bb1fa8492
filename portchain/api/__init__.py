"""Attribute maps and extension descriptors of the Port Chain API, and nothing else."""
