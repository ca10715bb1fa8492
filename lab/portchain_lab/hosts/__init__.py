"""The compute hosts of a lab: network namespaces, the underlay between them, and the programs that run there."""
