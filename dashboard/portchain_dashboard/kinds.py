"""The resources that the panel shows, by the word that its addresses use. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource.

    :param slug: its word in addresses of pages.
    :param name: as the API writes it in request bodies.
    :param words: its name in sentences. ``plural_words``: of several of them.
    """

    slug: str
    name: str
    words: str
    plural_words: str

    @property
    def plural(self) -> str:
        """The name of the collection in response bodies."""
        return f"{self.name}s"

    @property
    def path(self) -> str:
        """The path of the collection, below /v2.0."""
        return f"/sfc/{self.plural}"


CHAIN = Kind("chain", "port_chain", "port chain", "port chains")
GROUP = Kind("group", "port_pair_group", "port pair group", "port pair groups")
PAIR = Kind("pair", "port_pair", "port pair", "port pairs")
CLASSIFIER = Kind("classifier", "flow_classifier", "flow classifier", "flow classifiers")
GRAPH = Kind("graph", "service_graph", "service graph", "service graphs")
TRACE = Kind("trace", "trace", "trace", "traces")

KINDS = {kind.slug: kind for kind in (CHAIN, GROUP, PAIR, CLASSIFIER, GRAPH, TRACE)}
