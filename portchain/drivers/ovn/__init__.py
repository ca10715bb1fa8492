"""The OVN driver: snapshot -> lanes -> Northbound rows -> difference -> one transaction.

How chains are made of Northbound rows, and why: docs/ovn.md.
"""
