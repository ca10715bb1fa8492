"""What a request does inside its transaction, a file a resource."""
