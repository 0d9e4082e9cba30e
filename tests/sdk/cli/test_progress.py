"""A file on its way: a bar where somebody watches, lines in a log where nobody does."""

from __future__ import annotations

import io
import logging
import sys
import threading

import pytest
from rich.console import Console

from ostraka.cli import progress as progress_module
from ostraka.cli.progress import transfer
from ostraka.telemetry.logs import _Stderr

MB = 10**6


@pytest.fixture
def terminal(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(progress_module, "err", Console(file=shown, force_terminal=True, width=100))
    return shown


def nobody_says(text):
    raise AssertionError(text)


def test_a_bar_on_a_terminal(terminal):
    with transfer("fetching blocks", nobody_says) as report:
        for done in range(0, 101 * MB, MB):
            report(done, 100 * MB)
    assert "fetching blocks" in terminal.getvalue()
    assert "100.0/100.0 MB" in terminal.getvalue()
    assert progress_module._bars._shown is None, "nothing is drawn any more"


def test_nothing_is_drawn_for_what_need_not_be_fetched(terminal):
    with transfer("fetching blocks", nobody_says):
        pass
    assert "fetching" not in terminal.getvalue()


def test_threads_draw_on_one_terminal_together(terminal):
    both = threading.Barrier(2)

    def fetch(name: str) -> None:
        with transfer(name, nobody_says) as report:
            report(MB, 2 * MB)
            both.wait(10)
            report(2 * MB, 2 * MB)
            both.wait(10)

    threads = [threading.Thread(target=fetch, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert "one" in terminal.getvalue()
    assert "other" in terminal.getvalue()
    assert progress_module._bars._count == 0


def test_a_fetch_that_breaks_leaves_no_bar(terminal):
    def fetch() -> None:
        with transfer("fetching", nobody_says) as report:
            report(1, 2)
            raise OSError("away")

    with pytest.raises(OSError, match="away"):
        fetch()
    assert progress_module._bars._shown is None


@pytest.mark.parametrize("json_on_terminal", [False, True])
def test_ten_lines_at_most_where_nobody_watches(monkeypatch, terminal, json_on_terminal):
    if json_on_terminal:
        monkeypatch.setenv("OSTRAKA_LOG", "json")
    else:
        monkeypatch.setattr(progress_module, "err", Console(file=io.StringIO()))
    said: list[str] = []
    with transfer("fetching blocks", said.append) as report:
        for done in range(0, 101 * MB, MB):
            report(done, 100 * MB)
    assert len(said) == 10
    assert said[0] == "fetching blocks: 10.0 of 100.0 MB"
    assert said[-1] == "fetching blocks: 100.0 of 100.0 MB"
    assert terminal.getvalue() == ""


def test_log_lines_go_to_the_stderr_of_the_moment(monkeypatch):
    handler, later = _Stderr(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "said", None, None))
    assert later.getvalue() == "said\n"
