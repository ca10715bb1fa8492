"""The virtual machines of a lab: their interfaces, and what runs inside them."""
