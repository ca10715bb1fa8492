"""The REST API: attribute maps, validation of values, extension descriptors, OpenAPI document."""
