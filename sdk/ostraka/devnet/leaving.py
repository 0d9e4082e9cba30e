"""Leaving on SIGINT and SIGTERM, whatever the program is at in that moment."""

from __future__ import annotations

import signal

AGAIN_S = 1.0
_armed = False


def leave_on_signals() -> None:
    """Both end in KeyboardInterrupt, so that everything is taken down. A shell that starts us in the background has SIGINT ignored, which
    Python would leave so.

    An exception that is raised in the wrong moment is lost: Python prints and forgets what comes up in a destructor or in a callback of
    an import. So it is raised again until somebody has `heard` it.
    """

    def leave(*_: object) -> None:
        global _armed
        if not _armed and hasattr(signal, "setitimer"):
            _armed = True
            signal.signal(signal.SIGALRM, leave)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)


def heard() -> None:
    """From here on nothing is interrupted, but by another signal: what is running is being taken down."""
    global _armed
    if _armed:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _armed = False
