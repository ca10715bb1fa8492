"""What people and their scripts type: ``neutron``, additions to ``openstack``."""
