"""Horizon's panel for service function chaining.

``values``, ``names`` and ``recipe`` decide and are pure. ``drawing`` is neutron-portchain's own
package (a link in the repository, a copy in the distribution), so that Horizon needs no Neutron.
"""
