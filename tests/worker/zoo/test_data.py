"""Files of packages are found without importing them, and a missing one says how to get it."""

from __future__ import annotations

import sys

import pytest

from ostraka.errors import UnknownModel
from ostraka_worker.zoo.data import find_package_file


def test_a_python_package_is_found_and_not_run(tmp_path, monkeypatch):
    package = tmp_path / "packaged_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "weights.bin").write_bytes(b"1")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_package_file("packaged_weights", "weights.bin") == package / "weights.bin"
    assert "packaged_weights" not in sys.modules


def test_the_folder_that_the_environment_names_is_searched(tmp_path, monkeypatch):
    (tmp_path / "@scope" / "thing").mkdir(parents=True)
    (tmp_path / "@scope" / "thing" / "model.json").write_text("{}")
    monkeypatch.setenv("OSTRAKA_DATA", str(tmp_path))
    assert find_package_file("@scope/thing", "model.json").read_text() == "{}"


def test_a_missing_package_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModel, match=r"npm install .*@vladmandic/human@3\.3\.6"):
        find_package_file("@vladmandic/human", "no/such/file")
    with pytest.raises(UnknownModel, match="OSTRAKA_DATA"):
        find_package_file("never_heard_of", "x")
