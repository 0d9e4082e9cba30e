"""Celery, set up so that a task survives the death of whoever was running it."""

from __future__ import annotations

from celery import Celery

# Streaming an answer takes long; what touches money on chain must not wait behind it, so each kind has workers of its own.
CHAIN_QUEUE, REPLICA_QUEUE = "ostraka.chain", "ostraka.replicas"
QUEUES = (CHAIN_QUEUE, REPLICA_QUEUE)
TASK_LIMIT_S = 3_600  # visibility timeout: longer than the longest task, or it would be started twice


def make_queue(url: str, prefix: str) -> Celery:
    """`prefix` begins every name that Celery gives in Redis: the board's."""
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
            "visibility_timeout": TASK_LIMIT_S,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
        },
        task_default_queue=CHAIN_QUEUE,
        task_routes={"replica": {"queue": REPLICA_QUEUE}},
    )
    return app
