"""Database migrations, run by neutron-db-manage as those of the subproject neutron-portchain."""
