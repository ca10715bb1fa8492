"""Runs works at the same time, each as a request of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import sqlalchemy as sa
from neutron_lib import context as neutron_context
from neutron_lib import exceptions as lib
from neutron_lib.db import api as db_api
from oslo_db import exception as db_exc

from tests.unit.api.base import PROJECT


class AtOnce:
    """Mix-in for test cases with a database that several connections can use."""

    def at_once(self, *works: Callable[[Any], Any]) -> list[Any]:
        """Run works at the same time, each with its own context; return results or errors."""
        barrier = Barrier(len(works))

        def run(work: Callable[[Any], Any]) -> Any:
            context = neutron_context.Context("user", PROJECT, roles=["member"])
            # Connect before the first work begins: connecting takes longer than the work itself.
            with db_api.CONTEXT_READER.using(context):
                context.session.execute(sa.text("SELECT 1"))
                barrier.wait()
            try:
                return work(context)
            except (lib.NeutronException, lib.MultipleExceptions, db_exc.DBError) as error:
                return error  # Neutron's test case would skip a test that raises some of them

        with ThreadPoolExecutor(len(works)) as pool:
            return list(pool.map(run, works))
