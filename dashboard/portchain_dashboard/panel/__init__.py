"""The panel: its pages, tables and forms."""
