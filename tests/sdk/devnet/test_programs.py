"""A program that is not there is named, with what brings it."""

from __future__ import annotations

import pytest

from ostraka.devnet import programs
from ostraka.errors import ConfigError


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(programs, "_folders", lambda: iter([tmp_path]))
    monkeypatch.setattr(programs.shutil, "which", lambda name: None)
    monkeypatch.setattr(programs, "_beside_python", lambda name: None)
    return tmp_path


def test_what_to_install_is_said(bare_machine):
    with pytest.raises(ConfigError, match="npm install ganache"):
        programs.npm_program("ganache", "ganache@7.9.2")
    with pytest.raises(ConfigError, match=r"make ipfs.*ipfs://127\.0\.0\.1:5001"):
        programs.ipfs_cli()
    with pytest.raises(ConfigError, match="install redis-server"):
        programs.redis_server()


def test_a_project_of_ones_own_is_looked_into_first(bare_machine):
    command = bare_machine / "node_modules" / ".bin" / "ganache"
    command.parent.mkdir(parents=True)
    command.write_text("")
    assert programs.npm_program("ganache", "ganache@7.9.2") == str(command)
