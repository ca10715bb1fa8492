"""The database transaction of a request, with its errors as the API's exceptions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from neutron_lib.db import api as db_api
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from portchain import errors
from portchain.core import rules


@contextmanager
def write_transaction(context: Any) -> Iterator[None]:
    """Run a block in one transaction, which is committed at its end and rolled back on an error.

    :raises NeutronException: for a `Violation` raised in the block, the API's exception with the
        matching HTTP status.
    :raises ChangedMeanwhile: another request deleted, or started to use, a row that this one needs.
    :raises NotStorable: the database cannot store a value.
    """
    try:
        with db_api.CONTEXT_WRITER.using(context):
            yield
    except rules.Violation as violation:
        raise errors.from_violation(violation) from violation
    except db_exc.DBReferenceError as error:
        raise errors.ChangedMeanwhile from error
    except db_exc.DBError as error:
        if isinstance(error.inner_exception, sa_exc.DataError):
            raise errors.from_data_error(error) from error
        raise
