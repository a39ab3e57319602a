"""Claims on a real PostgreSQL: who has what, how a lease ends, what is entered once. Skipped where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from servers import PostgreSQL, postgresql, wait_for

from harness.base.messages import messages_to
from harness.store.claims import Claim


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


def driver(database: PostgreSQL, folder: Path, lease: float = 60.0):  # type: ignore[no-untyped-def]
    """The claims of a driver of this results folder."""
    from harness.store.leases import Leases

    folder.mkdir(exist_ok=True)
    return Leases(database.address(), folder, lease)


def test_one_driver_has_a_trial_and_lets_go_of_it(database: PostgreSQL, tmp_path: Path) -> None:
    with driver(database, tmp_path / "a") as a, driver(database, tmp_path / "b") as b:
        assert a.take("k").ours
        assert not a.take("k").changed, "nobody else had it"
        refused = b.take("k")
        assert not refused.ours
        assert "process" in refused.holder
        assert (a.has("k"), a.holds("k"), b.has("k"), b.holds("k")) == (True, True, False, False)
        assert b.free({"k", "other"}) == {"other"}
        assert b.others()
        a.finish(["k"])
        assert b.free({"k"}) == {"k"}
        assert not b.others()
        given = b.take("k")
        assert given.ours
        assert given.changed, "what became of it must be looked up"


def test_a_driver_that_died_loses_its_claims_and_one_that_lives_keeps_them(
    database: PostgreSQL, tmp_path: Path
) -> None:
    dead = driver(database, tmp_path / "dead", lease=2.0)
    dead._thread.start = lambda: None  # as if killed: nothing renews what it has
    dead.__enter__()
    with driver(database, tmp_path / "alive", lease=2.0) as alive, driver(database, tmp_path / "c") as other:
        assert dead.take("of the dead").ours
        assert alive.take("of the living").ours
        assert not other.take("of the dead").ours
        wait_for(lambda: other.take("of the dead").ours, 30)
        assert not other.take("of the living").ours
        # It wakes up: it has lost its claim, and does not get it back by renewing.
        assert dead.has("of the dead"), "it does not know yet"
        assert not dead.holds("of the dead")
        assert dead.lost() == {"of the dead"}
        assert dead.lost() == set()
        assert not other.holds("of the dead"), "what became of it has not been looked up"
        other.confirm("of the dead")
        assert (other.has("of the dead"), other.holds("of the dead")) == (True, True)


def test_a_driver_notices_by_itself_that_it_slept(database: PostgreSQL, tmp_path: Path) -> None:
    with driver(database, tmp_path / "a") as a, driver(database, tmp_path / "b") as b:
        assert a.take("s").ours
        database.do("UPDATE harness_claims SET until = now() - interval '1 s' WHERE name = 's'")
        assert b.take("s").ours
        assert a.lost() == set(), "its lease is fresh, as far as it knows"
        a._renewed = time.time() - 40
        assert a.lost() == {"s"}


def test_the_next_driver_of_a_folder_has_its_claims_at_once(database: PostgreSQL, tmp_path: Path) -> None:
    first = driver(database, tmp_path / "a")
    first.__enter__()
    assert first.take("again").ours
    with driver(database, tmp_path / "a") as second:
        taken = second.take("again")
        assert taken.ours
        assert taken.changed


def test_an_outcome_is_written_once_though_its_answer_was_lost(database: PostgreSQL) -> None:
    from harness.store.shared import Shared

    store = Shared(database.address())
    study = optuna.create_study(storage=store, study_name="once")
    made = optuna.trial.create_trial(value=1.0, user_attrs={"key": "k"})
    study.add_trial(made)
    study.add_trial(made)  # as Optuna does again when a connection breaks
    assert [frozen.value for frozen in study.trials] == [1.0]
    study.add_trial(optuna.trial.create_trial(value=2.0))
    assert [frozen.value for frozen in study.trials] == [1.0, 2.0]
    store.engine.dispose()


def test_calls_wait_for_a_database_that_is_restarted(database: PostgreSQL, tmp_path: Path) -> None:
    from harness.store.shared import Shared

    store = Shared(database.address())
    study = optuna.create_study(storage=store, study_name="restart")
    with driver(database, tmp_path / "a") as a:
        for call in (lambda: a.take("k"), lambda: study.set_user_attr("a", 1), lambda: study.user_attrs["a"]):
            told: list[str] = []
            database.stop()
            later = threading.Timer(1.0, database.start)
            later.start()
            try:
                with messages_to(told.append):
                    assert call() in (Claim(ours=True), None, 1)
            finally:
                later.join()
            assert ["does not answer: waiting" in told[0], "answers again" in told[1]] == [True, True]
    store.engine.dispose()


def test_a_database_of_mlflow_is_refused(database: PostgreSQL) -> None:
    from harness.base.errors import HarnessError
    from harness.store.shared import Shared

    database.do("CREATE DATABASE of_mlflow")
    database.do("CREATE TABLE alembic_version (version_num text)", "of_mlflow")
    with pytest.raises(HarnessError, match="has the tables of another program"):
        Shared(database.address("of_mlflow"))
    assert database.do("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "of_mlflow") == [(1,)]
