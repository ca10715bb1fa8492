"""Port chains through the API."""

from tests.unit.api.base import ApiTestCase


class PortChainTest(ApiTestCase):
    def test_created_chain_is_shown_with_defaults_and_status(self) -> None:
        chain = self.chain(self.network(), name="PC1")
        assert chain["chain_parameters"] == {"correlation": "mpls", "symmetric": False}
        assert 1 <= chain["chain_id"] <= 65535
        assert (chain["status"], chain["status_reason"]) == ("ACTIVE", "")
        assert self.show("port_chain", chain["id"]) == chain
        assert self.list_all("port_chain") == [chain]
        self.delete("port_chain", chain["id"])
        assert self.list_all("port_chain") == []
