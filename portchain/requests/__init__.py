"""Requests: their checks and writes inside one transaction; one module for each resource."""
