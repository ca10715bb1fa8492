"""What ``portchain-import`` reads, says and returns."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from neutron.common import config
from neutron.db import db_base_plugin_v2
from neutron.db.migration.models import head  # noqa: F401 - relations between models come with their modules
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
Take over the flow classifiers, port pairs, port pair groups, port chains and service graphs of
networking-sfc from Neutron's database, with their ids. Without --apply it only says what it would
do. The tables of networking-sfc are read, never changed. Run it while no server with networking-sfc
or port_chain runs; a second run does nothing. What was taken over once and deleted since stays
deleted, unless --again is given.
"""
_EPILOG = f"""
Exit code: {DONE} if nothing is left to do; {FAILED} after an error; {INCOMPLETE} if something
cannot be taken over, which is then listed with the reason.
"""
_OPTIONS = [
    cfg.BoolOpt("apply", default=False, help="Write, in one transaction. Default: only look."),
    cfg.BoolOpt(
        "partial",
        default=False,
        help="With --apply: write what can be taken over although some cannot. Default: all or none.",
    ),
    cfg.BoolOpt(
        "again",
        default=False,
        help="Take over also what an earlier run took over and somebody deleted since.",
    ),
]


class _NotWrittenError(Exception):
    """Ends the transaction without a trace."""


class ImportFailedError(Exception):
    """Nothing can be taken over, for a reason that the operator can see to."""


def main(argv: Sequence[str]) -> int:
    """Carry out a command line.

    :returns: the exit code, see the epilog of ``--help``.
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
        print(f"portchain-import: the database says: {error}", file=sys.stderr)
        return FAILED
    return _report(outcomes, cfg.CONF.apply, cfg.CONF.partial)


def run(write: bool, partial: bool, again: bool) -> list[Outcome]:
    """Take over what networking-sfc left in the configured database.

    :param write: whether what was done stays.
    :param partial: whether it stays although something was refused.
    :param again: whether to take over also what was deleted since an earlier run.
    :raises ImportFailedError: there are no such tables, or they are not as expected.
    """
    # Rules ask Neutron for ports, as in a server; its mechanism drivers have no part in that.
    directory.add_plugin(constants.CORE, db_base_plugin_v2.NeutronDbPluginV2())
    check = manager.DriverManager(manager.load(cfg.CONF[conf.GROUP].drivers)).check
    context = neutron_context.get_admin_context()
    outcomes: list[Outcome] = []
    try:
        with db_api.CONTEXT_WRITER.using(context):
            _check_tables(context.session.connection())
            items = translate.items(legacy.read(context.session.connection()))
            outcomes = apply.carry(Request(context, check), items, _show_progress, again)
            if not write or (not partial and _refused(outcomes)):
                raise _NotWrittenError
    except _NotWrittenError:
        pass
    return outcomes


def _check_tables(connection: Any) -> None:
    if not legacy.is_there(connection):
        raise ImportFailedError(
            "this database has no tables of networking-sfc: does --config-file name the "
            "configuration of Neutron's servers?"
        )
    heads = legacy.heads(connection)
    if heads != legacy.HEADS:
        raise ImportFailedError(
            f"networking-sfc's tables are at {', '.join(sorted(heads)) or 'no known migration'}, "
            f"not at {', '.join(sorted(legacy.HEADS))}: with networking-sfc installed, run "
            "neutron-db-manage --subproject networking-sfc upgrade head"
        )
    if not connection.dialect.has_table(connection, models.Imported.__tablename__):
        raise ImportFailedError(
            "tables of port chains are missing: run neutron-db-manage upgrade heads"
        )


def _refused(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.result is Result.REFUSED]


def _show_progress(done: int, total: int) -> None:
    """One line that changes, on a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        end = "\r\033[K" if done == total else ""
        print(f"\r{done} of {total}{end}", end="", file=sys.stderr, flush=True)


def _report(outcomes: Sequence[Outcome], write: bool, partial: bool) -> int:
    """Print what was done or would be; return the exit code."""
    written = write and (partial or not _refused(outcomes))
    counts = Counter((one.item.kind, one.result) for one in outcomes)
    done = "taken over" if written else "to take over"
    print(f"{'':20}{done:>14}{'there already':>15}{'deleted here':>14}{'refused':>9}")
    for kind in apply.KINDS:
        carried, there, deleted, refused = (counts[kind, result] for result in Result)
        words = f"{kind.replace('_', ' ')}s"
        print(f"{words:20}{carried:>14}{there:>15}{deleted:>14}{refused:>9}")
    for one in _refused(outcomes):
        print(f"refused: {one.item}: {one.reason}")
    print(_conclusion(outcomes, write, partial))
    return INCOMPLETE if _refused(outcomes) else DONE


def _conclusion(outcomes: Sequence[Outcome], write: bool, partial: bool) -> str:
    if _refused(outcomes) and not (write and partial):
        return (
            "Nothing was written. Change what is refused through networking-sfc's API, or take over "
            "the rest with --apply --partial."
        )
    if not any(one.result is Result.CARRIED for one in outcomes):
        deleted = any(one.result is Result.DELETED for one in outcomes)
        more = " What was deleted here stays deleted, unless --again is given." if deleted else ""
        return f"There is nothing to take over.{more}"
    if not write:
        return "Nothing was written: this was a trial. --apply writes."
    return "Written. The servers realise the chains when they start with port_chain."
