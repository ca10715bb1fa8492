"""The driver of OVN's hosts: Northbound rows for what hosts cannot do, plans for all else."""
