"""Optuna's storage on a PostgreSQL that several drivers use, and that may be away for a while.

Optuna repeats some calls that failed, though their effect may be there: the answer was lost, not the write. Here every
call waits for a server that is away (a restart, a network that is down), and what is written twice counts once.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import Connection, Engine, create_engine, func, inspect, select, text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from harness.base.errors import HarnessError
from harness.base.messages import discreet, note
from harness.store.addresses import STORAGE, Silent, brief, with_driver

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from sqlalchemy.orm import Session

PATIENCE = 300.0
"""Seconds that a call waits for a server that does not answer."""
PAUSE = 0.5
"""Seconds between two tries."""
LONGEST_PAUSE, LONGEST_ALONE = 20, 120
"""Seconds after which the server ends a transaction in which nothing happens, and one of ``alone``."""
OPTIONS: dict[str, Any] = {
    "pool_pre_ping": True,  # a connection that a restart has cut off is replaced before it is used
    "connect_args": {
        "connect_timeout": 10,
        # A machine that is gone sends no end of the connection: notice that it does not answer.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        # A driver that is stopped in a transaction (a suspended laptop) must not keep its locks for ever.
        "options": f"-c idle_in_transaction_session_timeout={LONGEST_PAUSE * 1000}",
    },
}
"""Of every engine on the database."""
Result = TypeVar("Result")


def engine(address: str) -> Engine:
    """An engine on the database, which answers: at the beginning nobody waits for a server that is away."""
    made = create_engine(with_driver(address), **OPTIONS)
    made.connect().close()
    return made


def patiently(call: Callable[[], Result], engine: Engine) -> Result:
    """Call until the server answers, for up to ``PATIENCE`` seconds; the user is told.

    Raises:
        Silent: it did not answer for that long, or refuses the call.
        Exception: what else the call raises.
    """
    until, told, shown = time.monotonic() + PATIENCE, False, discreet(str(engine.url))
    while True:
        try:
            result = call()
        except UpdateFinishedTrialError:
            if told:  # it was written, and the answer was lost
                return True  # type: ignore[return-value]
            raise
        except Exception as error:
            if not away(error) or time.monotonic() > until:
                if isinstance(error, StorageInternalError | SQLAlchemyError):
                    raise silent(error, shown) from error
                raise
            if not told:
                note(f"{shown} does not answer: waiting for it (for up to {PATIENCE:.0f} s)")
            told = True
            time.sleep(PAUSE)
            continue
        if told:
            note(f"{shown} answers again")
        return result


def away(error: BaseException) -> bool:
    """Whether the reason is a server that is away, or a connection that broke."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, OperationalError | InterfaceError)


def silent(error: Exception, shown: str) -> Silent:
    """The message for the user if the database cannot be used."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return Silent(
        f"the database {shown} (--storage, {STORAGE}) cannot be used ({brief(Exception(str(cause)))}): "
        "`harness doctor` says what is wrong with it. What is done is kept: the same command continues"
    )


@contextlib.contextmanager
def alone(engine: Engine, what: str) -> Iterator[None]:
    """Only one driver at a time is in a ``with`` block of this name. The end of its connection frees it, too."""
    connection = patiently(lambda: _locked(engine, what), engine)
    try:
        yield
    finally:
        with contextlib.suppress(OperationalError, InterfaceError):  # the server went away, and with it the lock
            connection.close()


def _locked(engine: Engine, what: str) -> Connection:
    connection = engine.connect()
    try:
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_ALONE}s'"))
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"harness {what}", 0))))
    except BaseException:
        connection.close()
        raise
    return connection


class Shared(RDBStorage):
    """Optuna's storage on a database server.

    Args:
        address: of the database.
    """

    def __init__(self, address: str) -> None:
        own, self.shown = engine(address), discreet(address)
        try:
            with alone(own, "tables of Optuna"):  # Optuna's own creation of tables is not for several first users
                tables = set(inspect(own).get_table_names())
                if "alembic_version" in tables and "studies" not in tables:
                    raise HarnessError(
                        f"the database {self.shown} (--storage) has the tables of another program, perhaps of MLflow: "
                        "the harness needs one of its own (`createdb`)"
                    )
                super().__init__(with_driver(address), engine_kwargs=OPTIONS)
        except RuntimeError as error:  # the tables are of another version of Optuna
            raise HarnessError(f"the database {self.shown} (--storage) cannot be used: {error}") from error
        finally:
            own.dispose()

    def alone(self, what: str) -> AbstractContextManager[None]:
        """Only one driver at a time is in a ``with`` block of this name."""
        return alone(self.engine, what)

    def added(self, study: Study, after: int) -> list[FrozenTrial]:
        """The trials of a study that were added after one: cheap, however many there are.

        Args:
            study: it is in this storage.
            after: the number of the last one that is known, over all studies; -1: none.
        """
        return self._get_trials(study._study_id, None, set(), after)

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        # The study is locked here. A trial is known by the microsecond in which it was made up.
        if template_trial is not None:
            made = models.TrialModel(datetime_start=template_trial.datetime_start)._datetime_start_utc
            same = (models.TrialModel.study_id == study_id, models.TrialModel._datetime_start_utc == made)
            if (written := session.query(models.TrialModel).filter(*same).first()) is not None:
                return written
        return super()._get_prepared_new_trial(study_id, template_trial, session)


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def waits(self: Shared, *args: Any, **settings: Any) -> Any:
        return patiently(lambda: method(self, *args, **settings), self.engine)

    return waits


for _name in (
    *("create_new_study", "get_study_id_from_name", "get_study_name_from_id", "get_study_directions"),
    *("get_study_user_attrs", "get_study_system_attrs", "set_study_user_attr", "set_study_system_attr"),
    *("get_all_studies", "_create_new_trial", "_get_trials", "get_trial", "set_trial_param", "set_trial_state_values"),
    *("set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr"),
):
    setattr(Shared, _name, _patient(getattr(RDBStorage, _name)))
