"""Fixtures of the reconciler's tests: the arbiter is tested through a reconciler, too."""

from tests.unit.host.conftest import memory, reconciler, reports

__all__ = ["memory", "reconciler", "reports"]
