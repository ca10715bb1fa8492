"""What each request checks and writes inside its transaction: one module for each resource."""
