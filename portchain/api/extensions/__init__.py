"""Extension descriptors: Neutron loads every module here and takes the class named like it."""
