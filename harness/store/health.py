"""What `harness doctor` finds out about stores on servers: whether they answer, their versions, rights and clocks."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

from harness.base.messages import discreet
from harness.store import addresses, sqlite
from harness.store.runs import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from harness.store.studies import Studies

MOST_SECONDS = 2.0
"""The largest difference of two clocks that is no finding. The times of an MLflow server are whole seconds."""
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
EXPERIMENT = "harness doctor"
"""The name of the experiment that shows whether experiments may be made. It stays in the store as a deleted one."""


class Finding(NamedTuple):
    """The result of one check. ``needed``: nothing runs without it."""

    what: str
    found: str
    missing: str = ""
    needed: bool = False


def of_queues(studies: Studies) -> Iterator[Finding]:
    """The database of the queues and claims."""
    yield from _of_database("queues", studies.address, sqlite.OPTUNA, ("studies", "harness_claims"))
    if not addresses.tracking():
        yield Finding(
            "queues", "", f"other drivers may use {studies.shown}, too, but the results of this one go to a file of "
            f"its own: set {addresses.TRACKING} to share them"
        )  # fmt: skip


def of_results(store: Store) -> Iterator[Finding]:
    """MLflow's store, if it is a server or a PostgreSQL."""
    if not store.database:
        yield from _of_server(store)
    elif store.uri.startswith("postgresql"):
        yield from _of_database("results", store.uri, sqlite.MLFLOW, ("experiments",))


def _of_database(what: str, address: str, kind: sqlite.Kind, tables: tuple[str, ...]) -> Iterator[Finding]:
    shown = discreet(address)
    try:
        from sqlalchemy import create_engine, text

        engine = create_engine(addresses.with_driver(address), connect_args={"connect_timeout": 10})
        with closing(engine.connect()) as connection:
            version = connection.scalar(text("SHOW server_version"))
            began = time.time()
            theirs = float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)
            clock = _clock(what, theirs, began, time.time())
            found = [_rights(what, connection, tables)]
            if not found[0].missing:  # else the version may not be read either
                found.append(_revision(what, connection, kind))
        engine.dispose()
    except Exception as error:  # report any error of the database, do not end on it
        missing = addresses.missing_driver(error, shown)
        yield Finding(what, "", str(missing or f"{shown} does not answer ({addresses.brief(error)})"), needed=True)
        return
    yield Finding(what, f"{shown}: PostgreSQL {version} answers")
    yield from (*found, clock)


def _rights(what: str, connection: Connection, tables: tuple[str, ...]) -> Finding:
    from sqlalchemy import inspect, text

    there = set(inspect(connection).get_table_names())
    user, schema = connection.execute(text("SELECT current_user, current_schema()")).one()
    create = text("SELECT has_schema_privilege(current_user, current_schema(), 'CREATE')")
    if not there.issuperset(tables) and not connection.scalar(create):
        todo = f"GRANT CREATE, USAGE ON SCHEMA {schema or 'public'} TO {user}"
        return Finding(f"{what}: rights", "", f"{user} may not create tables: `{todo}`", needed=True)
    has = text("SELECT has_table_privilege(current_user, quote_ident(:table), :right)")
    asked = [{"table": table, "right": right} for table in tables if table in there for right in RIGHTS]
    if not all(connection.scalar(has, one) for one in asked):
        todo = f"GRANT {', '.join(RIGHTS)} ON ALL TABLES IN SCHEMA {schema} TO {user}; "
        todo += f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {user}"
        return Finding(f"{what}: rights", "", f"{user} may not use all tables: `{todo}`", needed=True)
    return Finding(f"{what}: rights", f"{user} may create and change what is needed")


def _revision(what: str, connection: Connection, kind: sqlite.Kind) -> Finding:
    from sqlalchemy import inspect, text

    installed = f"{kind.library} {metadata.version(kind.library)}"
    if not inspect(connection).has_table("alembic_version"):
        return Finding(f"{what}: tables", "none yet; the first `harness run` creates them")
    revision = str(connection.scalar(text("SELECT version_num FROM alembic_version")))
    scripts = sqlite.scripts(kind)
    if revision in scripts.get_heads():
        return Finding(f"{what}: tables", f"as {installed} has them (revision {revision})")
    if any(script.revision == revision for script in scripts.walk_revisions()):
        variable = addresses.STORAGE if kind is sqlite.OPTUNA else addresses.TRACKING
        todo = "end all drivers, make a copy (`pg_dump`), then run `" + kind.upgrade.format(address=f'"${variable}"')
        missing = f"an older version made them (revision {revision}), and {installed} needs others: {todo}`"
    else:
        missing = (
            f"{installed} does not know their revision ({revision}): a newer version made them, or another program"
        )
    return Finding(f"{what}: tables", "", missing, needed=True)


def _of_server(store: Store) -> Iterator[Finding]:
    import requests

    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    login = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
    try:
        began = time.time()
        answer = requests.get(f"{store.uri.rstrip('/')}/version", auth=login, timeout=10)
        ended = time.time()
        answer.raise_for_status()
    except requests.RequestException as error:
        yield Finding("results", "", f"{store.shown} does not answer ({addresses.brief(error)})", needed=True)
        return
    theirs, own = answer.text.strip(), metadata.version("mlflow")
    unlike = theirs.split(".")[:2] != own.split(".")[:2]
    other = (
        f"{store.shown} has MLflow {theirs[:40]}, and here is {own}: install the same on both (`pip install mlflow==…`)"
    )
    yield Finding("results", f"{store.shown}: MLflow {theirs[:40]} answers", other if unlike else "")
    yield _may_make_experiments(store)
    if (date := answer.headers.get("Date")) is not None:
        yield _clock("results", email.utils.parsedate_to_datetime(date).timestamp() + 0.5, began, ended)


def _may_make_experiments(store: Store) -> Finding:
    try:
        client = store.client
        found = client.get_experiment_by_name(EXPERIMENT)
        number = found.experiment_id if found is not None else client.create_experiment(EXPERIMENT)
        if found is not None and found.lifecycle_stage == "deleted":
            client.restore_experiment(number)
        client.delete_experiment(number)
    except Exception as error:  # of MLflow or of requests
        why = f"an experiment cannot be made there ({addresses.brief(error)}): ask who runs the server for that right"
        return Finding("results: rights", "", why, needed=True)
    return Finding("results: rights", "experiments may be made")


def _clock(what: str, theirs: float, began: float, ended: float) -> Finding:
    """Compare a server's time, asked for between these two times of this machine, with them (seconds)."""
    ahead = theirs - (began + ended) / 2
    if abs(ahead) <= MOST_SECONDS + (ended - began) / 2:  # a slow answer may be of any moment in between
        return Finding(f"{what}: clock", "the server's and this machine's agree")
    return Finding(
        f"{what}: clock", "", f"the server's is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this "
        "machine's. Claims do not depend on it (they use the server's clock alone), but runs of several machines are "
        "put in order by the clocks of these: let both get their time from a server (NTP)"
    )  # fmt: skip
