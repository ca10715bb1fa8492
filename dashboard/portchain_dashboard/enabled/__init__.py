"""Files that Horizon reads from its ``local/enabled`` folder."""
