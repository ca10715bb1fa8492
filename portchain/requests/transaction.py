"""The database transaction of a request, with its errors as the API's exceptions."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from neutron_lib import exceptions as lib
from neutron_lib.db import api as db_api
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from portchain import errors
from portchain.core import rules
from portchain.db import redaction


@contextmanager
def write_transaction(context: Any, known: Collection[str] = ()) -> Iterator[None]:
    """Run a block in one transaction, which is committed at its end and rolled back on an error.

    Messages of errors name only what the caller may see, or has named.

    :param known: ids that the caller's request names.
    :raises NeutronException: for a `Violation` raised in the block, the API's exception with the
        matching HTTP status.
    :raises ChangedMeanwhile: another request deleted, or started to use, a row that this one needs.
    :raises NotStorable: the database cannot store a value.
    """
    try:
        with db_api.CONTEXT_WRITER.using(context):
            yield
    except rules.Violation as violation:
        violation.rule = _for_caller(context, violation.rule, known)
        raise errors.from_violation(violation) from violation
    except lib.NeutronException as error:
        error.msg = _for_caller(context, error.msg, known)
        raise
    except db_exc.DBReferenceError as error:
        raise errors.ChangedMeanwhile from error
    except db_exc.DBError as error:
        if isinstance(error.inner_exception, sa_exc.DataError):
            raise errors.from_data_error(error) from error
        raise


def _for_caller(context: Any, message: str, known: Collection[str]) -> str:
    """Return a message without the names of resources that the caller may not see."""
    if context.is_admin:
        return message
    return redaction.redact(context, message, context.project_id, known)
