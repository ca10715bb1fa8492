"""Database migrations: neutron-db-manage runs them as the subproject neutron-portchain."""
