"""What `ostraka orchestrator serve` is told reaches whoever follows the chain."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
import typer
from typer.testing import CliRunner

from ostraka.errors import ConfigError
from ostraka_orchestrator import service
from ostraka_orchestrator.cli import register
from ostraka_orchestrator.service import Service


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Runs the command with these words, and gives the Follower that its service would have; None where it is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.json").write_text("")
    profile = tmp_path / "ostraka.toml"
    seen = []

    async def serve(config, announce):
        seen.append(config)

    monkeypatch.setattr(service, "serve", serve)
    app = typer.Typer()
    register(app)

    def run(*words, orchestrator="", **environment):
        seen.clear()
        profile.write_text(
            f'[chain]\nurl = "http://127.0.0.1:1"\ndeployment = "d.json"\n[orchestrator]\n{orchestrator}'
        )
        command = ["orchestrator", "serve", "--key", "k", "--queue", "redis://127.0.0.1:1/0", *words]
        result = CliRunner().invoke(app, command, env=environment)
        if isinstance(result.exception, ConfigError):
            raise result.exception
        if result.exit_code:
            return result.output
        desk = MagicMock(config=seen[0])
        desk.board.url, desk.board.prefix = "redis://127.0.0.1:1/0", "p:"
        follower = Service(desk)._follower
        return follower.confirmations, follower.depth

    return run


def test_options_come_before_the_environment_and_that_before_the_profile(told):
    assert told() == (0, 64)
    assert told(orchestrator="confirmations = 2\nreorg_depth = 30") == (2, 30)
    assert told(orchestrator="confirmations = 2", OSTRAKA_CONFIRMATIONS="5", OSTRAKA_REORG_DEPTH="9") == (5, 9)
    assert told("--confirmations", "0", "--reorg-depth", "8", OSTRAKA_CONFIRMATIONS="5") == (0, 8)


@pytest.mark.parametrize(
    ("option", "value"), [("--confirmations", "-1"), ("--reorg-depth", "0"), ("--reorg-depth", "x")]
)
def test_what_cannot_be_is_refused_by_name(told, option, value):
    assert f"'{option}'" in told(option, value, TERM="dumb", NO_COLOR="1")


def test_what_cannot_be_in_the_environment_is_refused_by_name(told):
    with pytest.raises(ConfigError, match=r"orchestrator\.reorg_depth: '0'"):
        told(OSTRAKA_REORG_DEPTH="0")
