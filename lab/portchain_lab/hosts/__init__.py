"""The compute hosts of a lab: namespaces, the network between them, and their programs."""
