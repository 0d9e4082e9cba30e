"""The wheel and the sdist, as a stranger installs them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.network, pytest.mark.model]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True, text=True
    )
    return folder


def test_the_wheel_holds_every_module_and_every_artifact(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in ("sdk", "worker", "orchestrator"):
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".json", ".typed") and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT / room)) in names
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"ostraka", "ostraka_worker", "ostraka_orchestrator"}


def test_the_sdist_holds_the_contracts_and_no_weights(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert any(n.endswith("contracts/JobMarket.sol") for n in names)
    assert not any(n.endswith((".gguf", ".safetensors")) for n in names)
    assert sdist.stat().st_size < 10 << 20


@pytest.fixture(scope="module", params=["whl", pytest.param("tar.gz", marks=pytest.mark.slow)])
def base_python(request, built, tmp_path_factory):
    """An environment with the base package only."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    (package,) = built.glob(f"*.{request.param}")
    python = folder / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(package)],
        check=True,
        capture_output=True,
    )
    return python


def test_the_base_package_imports_and_submits_a_job_without_torch(base_python, network):
    program = """
import sys
from ostraka import Client, load_profile
from pathlib import Path
with Client(load_profile(Path(sys.argv[1]), {})) as client:
    answer = client.generate("smollm2-135m-instruct", "What is the capital of France?", replicas=3, max_tokens=12, deadline_s=60)
    print("".join(answer))
    assert answer.verification.agreeing == (0, 1, 2), answer.verification
    assert all(r.valid for r in answer.receipts)
assert "torch" not in sys.modules and "grpc" not in sys.modules
try:
    import torch
except ImportError:
    print("no torch here")
"""
    done = subprocess.run(
        [base_python, "-c", program, str(network.profile_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert "no torch here" in done.stdout


def test_the_base_command_line_works_and_shows_no_foreign_commands(base_python):
    command = base_python.parent / "ostraka"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "job" in done.stdout
    assert "Traceback" not in done.stderr
