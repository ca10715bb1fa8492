"""The program ``portchain-import``: its options, its transaction and its report."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from neutron.common import config
from neutron.db import db_base_plugin_v2
from neutron.db.migration.models import head  # noqa: F401 - loads every model, for their relations
from neutron_lib import context as neutron_context
from neutron_lib.db import api as db_api
from neutron_lib.plugins import constants, directory
from oslo_config import cfg
from oslo_db import exception as db_exc

from portchain import conf, errors
from portchain.db import models
from portchain.drivers import manager
from portchain.importer import apply, legacy, translate
from portchain.importer.apply import Outcome, Result
from portchain.requests.request import Request

DONE, FAILED, INCOMPLETE = 0, 1, 2

_DESCRIPTION = """
Import flow classifiers, port pairs, port pair groups, port chains and service graphs from
networking-sfc's tables in Neutron's database. Ids, owners, names and attributes stay the same.
Without --apply, this is a trial: it reports what it would import and writes nothing. The tables of
networking-sfc are never changed. With --apply, run it while no Neutron server runs networking-sfc
or port_chain. A second run imports only what is still missing: resources that were imported before
and deleted since stay deleted, unless --again is given.
"""
_EPILOG = f"""
Exit code: {DONE} if everything is imported, or can be; {FAILED} after an error; {INCOMPLETE} if
resources were refused. The report lists each refused resource with the reason.
"""
_OPTIONS = [
    cfg.BoolOpt(
        "apply", default=False, help="Write the import, in one transaction. Default: only report."
    ),
    cfg.BoolOpt(
        "partial",
        default=False,
        help="With --apply: import what can be imported, although other resources are refused. "
        "Default: all or nothing.",
    ),
    cfg.BoolOpt(
        "again",
        default=False,
        help="Also import resources that an earlier run imported and somebody deleted since.",
    ),
]


class _NotWrittenError(Exception):
    """Rolls the transaction back."""


class ImportFailedError(Exception):
    """The import cannot start; the message says what the operator must do."""


def main(argv: Sequence[str]) -> int:
    """Run the program.

    :param argv: the arguments of the command line.
    :returns: the exit code, see ``--help``.
    """
    cfg.CONF.register_cli_opts(_OPTIONS)
    conf.register_server_opts()
    config.register_common_config_options()
    config.init(
        list(argv),
        prog="portchain-import",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    try:
        outcomes = run(cfg.CONF.apply, cfg.CONF.partial, cfg.CONF.again)
    except (ImportFailedError, errors.DriverNotLoaded) as error:
        print(f"portchain-import: {error}", file=sys.stderr)
        return FAILED
    except db_exc.DBError as error:
        print(f"portchain-import: the database refused a query: {error}", file=sys.stderr)
        return FAILED
    return _report(outcomes, cfg.CONF.apply, cfg.CONF.partial)


def run(write: bool, partial: bool, again: bool) -> list[Outcome]:
    """Import the resources of networking-sfc from the configured database.

    :param write: commit the import; otherwise roll it back.
    :param partial: commit it although resources were refused.
    :param again: also import resources that an earlier run imported and somebody deleted since.
    :raises ImportFailedError: the tables of networking-sfc or ours are missing or not up to date.
    :raises DriverNotLoaded: a configured driver cannot be loaded.
    """
    # The rules ask Neutron's core plugin for ports. Its database code is enough for that; ML2 would
    # also load the mechanism drivers.
    directory.add_plugin(constants.CORE, db_base_plugin_v2.NeutronDbPluginV2())
    drivers = manager.DriverManager(manager.load(cfg.CONF[conf.GROUP].drivers))
    context = neutron_context.get_admin_context()
    request = Request(context, drivers.check, drivers.check_accepted)
    outcomes: list[Outcome] = []
    try:
        with db_api.CONTEXT_WRITER.using(context):
            _check_tables(context.session.connection())
            items = translate.items(legacy.read(context.session.connection()))
            outcomes = apply.import_all(request, items, _show_progress, again)
            if not write or (not partial and _refused(outcomes)):
                raise _NotWrittenError
    except _NotWrittenError:
        pass
    return outcomes


def _check_tables(connection: Any) -> None:
    if not legacy.has_tables(connection):
        raise ImportFailedError(
            "this database has no tables of networking-sfc: pass the configuration of Neutron's "
            "servers with --config-file"
        )
    heads = legacy.heads(connection)
    if heads != legacy.HEADS:
        raise ImportFailedError(
            "networking-sfc's tables are at migration "
            f"{', '.join(sorted(heads)) or 'none'}, not at {', '.join(sorted(legacy.HEADS))}: "
            "where networking-sfc is installed, run "
            "neutron-db-manage --subproject networking-sfc upgrade head"
        )
    if not connection.dialect.has_table(connection, models.Imported.__tablename__):
        raise ImportFailedError(
            "the tables of neutron-portchain are missing: run neutron-db-manage upgrade heads"
        )


def _refused(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.result is Result.REFUSED]


def _show_progress(done: int, total: int) -> None:
    """Print the progress on one line of the terminal; print nothing if stderr is no terminal."""
    if sys.stderr.isatty():
        end = "\r\033[K" if done == total else ""
        print(f"\r{done} of {total} resources{end}", end="", file=sys.stderr, flush=True)


def _report(outcomes: Sequence[Outcome], write: bool, partial: bool) -> int:
    """Print the report and return the exit code."""
    written = write and (partial or not _refused(outcomes))
    counts = Counter((outcome.item.kind, outcome.result) for outcome in outcomes)
    headings = ("imported" if written else "to import", "present", "deleted since", "refused")
    print(f"{'':20}" + "".join(f"{heading:>15}" for heading in headings))
    for kind in apply.KINDS:
        numbers = "".join(f"{counts[kind, result]:>15}" for result in Result)
        print(f"{_plural(kind):20}{numbers}")
    for outcome in _refused(outcomes):
        print(f"refused: {outcome.item}: {outcome.reason}")
    print(_conclusion(outcomes, write, partial))
    return INCOMPLETE if _refused(outcomes) else DONE


def _plural(kind: str) -> str:
    return f"{kind.replace('_', ' ')}s"


def _conclusion(outcomes: Sequence[Outcome], write: bool, partial: bool) -> str:
    if _refused(outcomes) and not (write and partial):
        return (
            "Nothing was written. Change the refused resources with networking-sfc's API, or "
            "import the rest with --apply --partial."
        )
    if not any(outcome.result is Result.IMPORTED for outcome in outcomes):
        deleted = any(outcome.result is Result.DELETED for outcome in outcomes)
        more = " Resources deleted since stay deleted; --again imports them." if deleted else ""
        return f"There is nothing to import.{more}"
    if not write:
        return "Nothing was written: this was a trial. Run again with --apply to import."
    return "Import written. The servers realise the chains when they start with port_chain."
