"""The service plugin under networking-sfc's names ``sfc`` and ``flow_classifier``.

Deployment tools have switches that configure these names. All names stand for one class, and
Neutron creates one instance of each class, so it does not matter how many of them are configured.

The check is made while the module is imported: if networking-sfc is installed too, Neutron finds
two plugins with the name, imports both modules and uses neither. Nothing else here would run.
"""

from portchain import coexistence

coexistence.refuse()

from portchain.plugin import PortChainPlugin  # noqa: E402

__all__ = ["PortChainPlugin"]
