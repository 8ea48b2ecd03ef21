"""Two requests at once, of which one waits for the other in the database."""

import contextlib
import threading
import time

import pymysql

from tests.functional.server import stage

# Unlike information_schema.innodb_trx it is no older for being asked often.
WAITING = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"


@contextlib.contextmanager
def transaction(database, statements):
    """Begin a transaction with these statements, of somebody who has not committed yet."""
    session = pymysql.connect(unix_socket=str(database.socket), user="root", database="api")
    with session, session.cursor() as cursor:
        cursor.execute("BEGIN")
        for statement in statements:
            cursor.execute(statement)
        yield session


def meanwhile(api, database, session, method, path, body=None, last=()):
    """Ask, commit the session's transaction when the request waits for it; return the answer.

    `last`: statements of the session before it commits, which MariaDB may refuse for a deadlock.
    """
    answers = []
    asking = threading.Thread(target=lambda: answers.append(api.request(method, path, body)))
    asking.start()
    deadline = time.monotonic() + stage.LIMIT
    while asking.is_alive() and database.sql(WAITING).split()[1] != "1":
        assert time.monotonic() < deadline, "the request doesn't wait for the transaction"
    assert asking.is_alive(), answers
    with contextlib.suppress(pymysql.OperationalError), session.cursor() as cursor:
        for statement in last:
            cursor.execute(statement)
    session.commit()
    asking.join(stage.LIMIT)
    return answers[0]
