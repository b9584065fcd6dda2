"""What a server of the version before does: the statements of version 15 of the tables, as it sends them."""

import time
from typing import Any

INSERT = """INSERT INTO tasks (id, principal, provider, base_url, created_at, updated_at, status, final, submission,
    prediction_id, lease_worker, lease_until, request, outcome, model, micro_credits, micro_usd, cost_unit, cost_source,
    deduplication_key, duplicate_policy, outbox_due, outbox_tries, outbox_host, search, parent)
    SELECT %(id)s::VARCHAR, 'local', 'journeyapi', 'u', %(now)s::FLOAT, %(now)s::FLOAT, 'queued', false, 'prepared',
    NULL, 'older', %(until)s::FLOAT, %(request)s::VARCHAR, '{}', 'm', 0, 0, NULL, NULL, %(key)s::VARCHAR, 'join',
    NULL, 0, NULL, 'p', NULL
    WHERE NOT (EXISTS (SELECT * FROM tasks WHERE tasks.principal = 'local'
    AND tasks.deduplication_key = %(key)s::VARCHAR AND duplicate_policy = 'join'))"""
SENT = """UPDATE tasks SET updated_at = %(now)s, status = 'running', submission = 'accepted', prediction_id = %(id)s,
    duplicate_policy = CASE WHEN (%(policy)s::VARCHAR = 'join') THEN tasks.duplicate_policy ELSE %(policy)s::VARCHAR END
    WHERE tasks.id = %(id)s AND tasks.lease_worker = 'older' AND tasks.final IS false"""
RENEW = """UPDATE tasks SET lease_until = %(until)s WHERE tasks.id IN (%(id)s) AND tasks.lease_worker = 'older'
    AND tasks.final IS false RETURNING tasks.id"""
READ = "SELECT tasks.id, tasks.principal, tasks.prediction_id, tasks.request FROM tasks WHERE tasks.id IN (%(id)s)"
ORPHANS = "SELECT tasks.id FROM tasks WHERE NOT final AND tasks.lease_until <= %(now)s"


def life_of_a_task(cursor: Any, task_id: str) -> None:
    """Create a task, send it, renew its lease and read it; every statement must do what it did."""
    now = time.time()
    request = '{"tool":"imagine","prompt":"p","model":"m"}'
    values = {"id": task_id, "key": task_id, "now": now, "until": now + 6, "request": request, "policy": "join"}
    for statement in (INSERT, SENT, RENEW):
        cursor.execute(statement, values)
        assert cursor.rowcount == 1, statement
    cursor.execute(READ, values)
    assert cursor.fetchone() == (task_id, "local", task_id, request)
    cursor.execute(ORPHANS, values)
    assert (task_id,) not in cursor.fetchall()
