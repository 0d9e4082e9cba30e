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


def test_a_script_is_run_by_node_with_options_of_its_own(bare_machine, monkeypatch):
    script = bare_machine / "node_modules" / "ganache" / "cli.js"
    command = bare_machine / "node_modules" / ".bin" / "ganache"
    for path in (script, command):
        path.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("")
    command.symlink_to(script)
    with pytest.raises(ConfigError, match="node not found"):
        programs.npm_script("ganache", "ganache@7.9.2")
    monkeypatch.setattr(programs.shutil, "which", lambda name: f"/bin/{name}")
    found = programs.npm_script("ganache", "ganache@7.9.2", "--max-semi-space-size=64")
    assert found == ["/bin/node", "--max-semi-space-size=64", str(script)]
