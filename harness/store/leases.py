"""Claims of several drivers, as leases in a table of the PostgreSQL that they share.

A thread renews them, and those of a driver that died end by themselves. All times are those of the database's clock.

A driver that was stopped for longer than its lease (a suspended laptop) may find that another has its claim: ``lost``
says so, and ``holds``, which asks the database, stands before the last write of a trial.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Index,
    MetaData,
    Table,
    Text,
    and_,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from harness.base.interrupts import command_line
from harness.store import shared
from harness.store.claims import Claim, Claims

RENEWALS = 4
"""How often a claim is renewed in the time of its lease."""
AGAIN = 1.0
"""Seconds until a renewal that failed is tried again."""
CLAIMS = Table(
    "harness_claims",
    MetaData(),
    Column("name", Text, primary_key=True),  # the key of a trial, or the name of a study
    Column("owner", Text, nullable=False),  # a random name of the driver; empty: it let go
    Column("folder", Text, nullable=False),  # its results folder, on its machine
    Column("who", Text, nullable=False),  # the driver, for messages
    Column("until", DateTime(timezone=True), nullable=False),  # when the lease ends
    Column("ended", DateTime(timezone=True)),  # when somebody let go of it last
    Index("harness_claims_owner", "owner"),
)
NOW = func.clock_timestamp()
Result = TypeVar("Result")


class Leases(Claims):
    """The claims of one of several drivers. Every call waits for a database that is away.

    Args:
        address: of the database.
        results: the results folder, which this driver has locked: an earlier driver of this folder is dead.
        lease: seconds after which a driver that died loses its claims.
    """

    shared = True

    def __init__(self, address: str, results: Path, lease: float) -> None:
        self.lease = timedelta(seconds=lease)
        self.shown_lease = f"{lease:g} s"
        self.owner = uuid.uuid4().hex
        place = results.resolve().stat()
        self.folder = f"{socket.gethostname()}:{results.resolve()}:{place.st_dev}:{place.st_ino}"
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        self.who = f"`{command_line()}` (process {os.getpid()} on {socket.gethostname()}, since {since})"
        self._engine = shared.engine(address)
        self._lock = threading.Lock()
        """One transaction at a time, so that the names here are those in the database."""
        self._names: set[str] = set()
        self._unsure: set[str] = set()
        """Names of claims that somebody else had meanwhile, and that are not confirmed."""
        self._lost: set[str] = set()
        self._renewed = time.time()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._renew_often, daemon=True)

    def __enter__(self) -> Claims:
        with self.alone("table of claims"), self._engine.begin() as connection:
            CLAIMS.metadata.create_all(connection)
            self._since = connection.scalar(select(NOW))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        mine = update(CLAIMS).where(CLAIMS.c.owner == self.owner)
        with contextlib.suppress(Exception), self._engine.begin() as connection:  # else they end with their lease
            connection.execute(mine.values(owner="", until=NOW, ended=NOW))  # what became of it: see MLflow
        self._engine.dispose()

    def take(self, name: str) -> Claim:
        return self._do(lambda connection: self._take(connection, name))

    def _take(self, connection: Connection, name: str) -> Claim:
        free = {"name": name, "owner": "", "folder": "", "who": "", "until": NOW}
        connection.execute(insert(CLAIMS).values(free).on_conflict_do_nothing())
        held = (CLAIMS.c.until > NOW).label("held")
        row = connection.execute(select(CLAIMS, held).where(CLAIMS.c.name == name).with_for_update()).one()
        others = row.owner not in ("", self.owner)
        if others and row.held and row.folder != self.folder:
            return Claim(ours=False, holder=row.who)
        ours = {"owner": self.owner, "folder": self.folder, "who": self.who, "until": NOW + self.lease}
        connection.execute(update(CLAIMS).where(CLAIMS.c.name == name).values(ours))
        self._names.add(name)
        changed = others or (row.ended is not None and row.ended > self._since)
        (self._unsure.add if changed else self._unsure.discard)(name)
        return Claim(ours=True, changed=changed)

    def confirm(self, name: str) -> None:
        self._unsure.discard(name)

    def has(self, name: str) -> bool:
        return name in self._names and name not in self._unsure

    def holds(self, name: str) -> bool:
        if self.has(name):
            self._do(self._renew)
        return self.has(name)

    def finish(self, names: Collection[str]) -> None:
        if names:
            self._do(lambda connection: self._finish(connection, names))

    def _finish(self, connection: Connection, names: Collection[str]) -> None:
        ended = {"owner": "", "until": NOW, "ended": NOW}
        own = and_(CLAIMS.c.owner == self.owner, CLAIMS.c.name.in_(names))
        connection.execute(update(CLAIMS).where(own).values(ended))
        self._names -= set(names)

    def free(self, names: Collection[str]) -> set[str]:
        others = and_(CLAIMS.c.name.in_(names), self._of_others(), CLAIMS.c.until > NOW)
        return set(names) - self._do(lambda connection: set(connection.scalars(select(CLAIMS.c.name).where(others))))

    def others(self) -> bool:
        others = select(CLAIMS.c.name).where(and_(self._of_others(), CLAIMS.c.until > NOW)).limit(1)
        return self._do(lambda connection: connection.scalar(others) is not None)

    def _of_others(self) -> ColumnElement[bool]:
        return and_(CLAIMS.c.owner != "", CLAIMS.c.owner != self.owner, CLAIMS.c.folder != self.folder)

    def lost(self) -> set[str]:
        # By a clock that goes on while a machine sleeps. Where somebody sets it, the database is asked once more.
        if abs(time.time() - self._renewed) > self.lease.total_seconds() / 2:
            self._do(self._renew)
        with self._lock:
            lost, self._lost = self._lost, set()
        return lost

    def alone(self, what: str) -> AbstractContextManager[None]:
        return shared.alone(self._engine, what)

    def _do(self, what: Callable[[Connection], Result]) -> Result:
        def once() -> Result:
            with self._lock, self._engine.begin() as connection:
                return what(connection)

        return shared.patiently(once, self._engine)

    def _renew(self, connection: Connection) -> None:
        mine = update(CLAIMS).where(CLAIMS.c.owner == self.owner).values(until=NOW + self.lease)
        kept = set(connection.scalars(mine.returning(CLAIMS.c.name)))
        self._lost |= self._names - kept
        self._names &= kept
        self._renewed = time.time()

    def _renew_often(self) -> None:
        pause = self.lease.total_seconds() / RENEWALS
        wait = pause
        while not self._ending.wait(wait):
            try:
                with self._lock, self._engine.begin() as connection:
                    self._renew(connection)
                wait = pause
            except Exception:  # the database is away: meanwhile nobody can take a claim
                wait = min(AGAIN, pause)
