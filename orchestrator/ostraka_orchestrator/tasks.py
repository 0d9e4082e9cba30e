"""Celery tasks: keyed, so that a task delivered twice is done once at a time, and thin over `work`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import redis
from celery import Celery

from ostraka.errors import OstrakaError
from ostraka.telemetry import span
from ostraka_orchestrator import rounds, work
from ostraka_orchestrator.crew import my_name
from ostraka_orchestrator.decide import next_replicas, replica_key
from ostraka_orchestrator.desk import Desk, log
from ostraka_orchestrator.queue import make_queue
from ostraka_orchestrator.tally import DELIVERIES, Tally


@contextmanager
def _leased(desk: Desk, key: str, task: str, *args: Any) -> Iterator[bool]:
    """Gives False when another worker is at it, or workers have died of it.

    Whatever goes wrong, the service decides anew from the chain.
    """
    tally, clock = Tally(desk.board), time.monotonic
    began = clock()
    try:
        with desk.board.hold(key) as mine:
            delivered = tally.began(task, key, my_name()) if mine else 0
            fit = mine and delivered <= DELIVERIES
            yield fit
        if fit:
            tally.done(task, "ok", key, clock() - began)
        elif mine:
            log.warning("%s: not run; workers that took it died %d times", key, DELIVERIES)
            tally.bury(task, key, args, f"workers that took it died {DELIVERIES} times")
    except OstrakaError as error:
        log.warning("%s: %s", key, error)
        tally.done(task, "refused", key, clock() - began)
    except redis.RedisError as error:
        log.warning("%s: the queue's server is away (%s)", key, error)
    except Exception as error:
        log.exception("%s broke", key)
        tally.broke(task, key, args, f"{type(error).__name__}: {error}", clock() - began)


def make_tasks(desk: Desk) -> Celery:
    app = make_queue(desk.board.url, desk.board.prefix)

    def add(name: str, task: Callable[..., None]) -> None:
        app.task(name=name, shared=False)(
            task
        )  # of this desk: shared, all apps of a program would have the first one's

    def traced(job_id: int, name: str, **attributes: int) -> AbstractContextManager[None]:
        return span(desk.market.domain, job_id, name, **attributes)

    def on_chain(name: str, act: Callable[..., None]) -> None:
        def task(key: str, job_id: int, *args: int) -> None:
            with traced(job_id, name), _leased(desk, f"run:{key}", name, key, job_id, *args) as mine:
                if mine:
                    act(desk, job_id, *args)

        add(name, task)

    on_chain("settle", work.settle)
    on_chain("blame", work.blame)
    on_chain("conclude", work.conclude)
    on_chain("judge", work.judge)
    on_chain("expire", work.expire)
    on_chain("replace", rounds.replace)

    def match(key: str, job_id: int, number: int) -> None:
        with traced(job_id, "match", round=number), _leased(desk, f"run:{key}", "match", key, job_id, number) as mine:
            if not mine:
                return
            if number:
                rounds.match_again(desk, job_id, number)  # the service hands out whatever is to run then
            elif work.match(desk, job_id):
                for index, claimed in work.first_replicas(desk, job_id):
                    app.send_task("replica", args=[replica_key(job_id, index), job_id, index, claimed, number])

    def replica(key: str, job_id: int, index: int, claimed: list[int] | None, number: int, tried: int = 0) -> None:
        """The primary generates; when it is done the others check its tokens. A primary that fails is succeeded by the next.

        Replicas of an inference have all been started at once, and have nothing to do with each other.
        """
        arguments = (key, job_id, index, claimed, number, tried)
        with traced(job_id, "replica", replica=index, round=number), _leased(desk, key, "replica", *arguments) as mine:
            if not mine:
                return
            work.run_replica(desk, job_id, index, claimed, number, tried)
            if claimed is not None or not work.generates(desk, job_id):
                return
            plan = desk.board.plan(job_id) or []
            for other, tokens in next_replicas(len(plan), desk.board.replicas(job_id, number)):
                ahead = replica_key(job_id, other, plan[other].round)
                app.send_task("replica", args=[ahead, job_id, other, tokens, number])

    def order(key: str, epoch: int) -> None:
        with _leased(desk, f"run:{key}", "order", key, epoch) as mine:
            if mine:
                work.order(desk, epoch)

    add("match", match)
    add("order", order)
    add("replica", replica)
    return app
