"""Pictures of port chains: for terminals, as SVG, and in the languages of Graphviz and Mermaid.

``picture`` makes a picture of what the API shows; each other module writes one in its format. Pure:
nothing here asks a server. Names are what tenants have typed: each format escapes them.

Modules import each other relatively: the distribution of Horizon's panel has a copy of this package
(``dashboard/portchain_dashboard/drawing`` is a link to it).
"""
