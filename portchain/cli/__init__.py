"""Command lines: the program ``neutron``, and additions to ``openstack sfc``."""
