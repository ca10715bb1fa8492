"""Pictures of port chains: for terminals, as SVG, and in the languages of Graphviz and Mermaid.

``picture`` makes a picture of what the API shows; each other module writes one in its format. Pure:
nothing here asks a server. Names are what tenants have typed: each format escapes them.
"""
