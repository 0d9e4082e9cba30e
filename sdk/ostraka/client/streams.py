"""Several at once: questions to several orchestrators, and the events that several tell of one job, as one stream."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ostraka.errors import BadFrame, OstrakaError

T = TypeVar("T")
Event = dict[str, Any]
Stream = Callable[[threading.Event], Iterator[Event]]  # ends soon after the event it is given is set
CLOSED_GRACE_S = (
    2.0  # when one that had no part in a job says that it is closed, others have so long to finish what they tell
)


def together(
    asks: Mapping[str, Callable[[], T]], patience_s: float, enough: Callable[[str, T], bool] = lambda who, answer: False
) -> tuple[dict[str, T], list[OstrakaError]]:
    """Asks all at once. Returns what was answered, and the errors of those that refused, are away or talk nonsense.

    Does so when all have answered, when an answer is `enough`, or `patience_s` after the first answer: one that hangs is not waited for.
    """
    told: queue.SimpleQueue[tuple[str, T | None, OstrakaError | None]] = queue.SimpleQueue()

    def run(key: str, ask: Callable[[], T]) -> None:
        try:
            told.put((key, ask(), None))
        except OstrakaError as error:
            told.put((key, None, error))
        except Exception as error:  # whatever a stranger sends must not keep the others from being heard
            told.put((key, None, BadFrame(f"{key}: {type(error).__name__}: {error}")))

    for key, ask in asks.items():
        threading.Thread(target=run, args=(key, ask), daemon=True).start()
    answers: dict[str, T] = {}
    errors: list[OstrakaError] = []
    end = float("inf")
    for _ in asks:
        try:
            key, answer, error = told.get(timeout=None if end == float("inf") else max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        if error is not None:
            errors.append(error)
        else:
            answers[key] = answer  # type: ignore[assignment]
            end = min(end, time.monotonic() + patience_s)
            if enough(key, answers[key]):
                break
    return answers, errors


def merged(streams: Sequence[Stream], until: float) -> Iterator[Event]:
    """Events of all `streams` as they come, until one that told something says that the job is closed.

    Or until the monotonic clock reads `until`. A stream that breaks off is left out; its error is raised when no other is left.
    """
    over = threading.Event()
    if len(streams) == 1:
        yield from streams[0](over)
        return
    told: queue.SimpleQueue[tuple[int, Event | Exception | None]] = queue.SimpleQueue()

    def run(index: int, stream: Stream) -> None:
        try:
            for event in stream(over):
                told.put((index, event))
            told.put((index, None))
        except Exception as error:
            told.put((index, error))

    for index, stream in enumerate(streams):
        threading.Thread(target=run, args=(index, stream), daemon=True).start()
    try:
        yield from _sorted_out(told, len(streams), until)
    finally:
        over.set()


def _sorted_out(
    told: queue.SimpleQueue[tuple[int, Event | Exception | None]], count: int, until: float
) -> Iterator[Event]:
    running, spoke = set(range(count)), set[int]()
    closed: Event | None = None
    problem: Exception | None = None
    while running:
        try:
            index, event = told.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(event, Exception):
            problem = event
        if event is None or isinstance(event, Exception):
            running.discard(index)
        elif event["type"] != "closed":
            spoke.add(index)
            yield event
        else:
            closed = event
            running.discard(index)
            if index in spoke:
                break
            until = min(until, time.monotonic() + CLOSED_GRACE_S)
    if closed is not None:
        yield closed
    elif problem is not None and not running:
        raise problem
