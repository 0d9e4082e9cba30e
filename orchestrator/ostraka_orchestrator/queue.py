"""Celery, set up so that a task survives the death of whoever was running it."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery

# Streaming an answer takes long; what touches money on chain must not wait behind it, so each kind has workers of its own. A worker that
# serves both takes what comes first by name.
CHAIN_QUEUE, REPLICA_QUEUE = "ostraka.chain", "ostraka.replicas"
QUEUES = (CHAIN_QUEUE, REPLICA_QUEUE)
RUN_TIMEOUT_S = 3_000  # of a replica's run, which is the longest task
TASK_LIMIT_S = RUN_TIMEOUT_S + 600  # visibility timeout: longer than the longest task, or it would be started twice


def make_queue(url: str, prefix: str, limit_s: int = TASK_LIMIT_S) -> Celery:
    """`prefix` begins every name that Celery gives in Redis: the board's. What a dead worker had is given to another after `limit_s`."""
    app = Celery("ostraka", broker=url)
    app.conf.update(
        accept_content=["json"],  # never pickle
        task_serializer="json",
        task_ignore_result=True,  # results that matter are on chain or on the board
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "global_keyprefix": prefix,
            "queue_order_strategy": "sorted",  # by name; the default is in turn
            "visibility_timeout": limit_s,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
        },
        task_default_queue=CHAIN_QUEUE,
        task_routes={"replica": {"queue": REPLICA_QUEUE}},
    )
    return app


def work(app: Celery, queues: Sequence[str], threads: int) -> None:
    """Runs the tasks of these queues until it is told to end, or the queue's server is away for good."""
    arguments = ["--quiet", "worker", "--pool", "threads", "--concurrency", str(threads), "--loglevel", "WARNING"]
    try:
        app.worker_main([*arguments, "--without-gossip", "--without-mingle", "--queues", ",".join(queues)])
    except SystemExit as end:
        if not end.code:
            raise
