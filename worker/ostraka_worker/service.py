"""The node's loop: announce, be placed, load blocks, claim them on chain, serve. The only place with clocks and sockets of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import torch
from eth_account import Account
from eth_account.messages import encode_defunct

from ostraka.chain import Court, Deployment, Sender, connect
from ostraka.chain.heads import Heads
from ostraka.chain.whereabouts import Whereabouts
from ostraka.cli.progress import transfer
from ostraka.crypto.canonical import canonical_json
from ostraka.crypto.keys import Key, load_key
from ostraka.errors import ConfigError, HashMismatch, OstrakaError, StakeTooLow, UsageError
from ostraka.model import MAX_MANIFEST_BYTES, AnyManifest, chunk_root, load_manifest
from ostraka.store import CachedStore, ContentStore, LocalStore, cid_of_digest, open_store
from ostraka.telemetry import close_traces
from ostraka.types import OSTR, BlockSpan, ModelId, NodeId, NodeStatus
from ostraka.wire.grpc_transport import serve as serve_grpc
from ostraka_worker.attest import Identity
from ostraka_worker.config import WorkerConfig
from ostraka_worker.disputes.attendant import Attendant
from ostraka_worker.disputes.service import attend, look_for_ever
from ostraka_worker.engine import GraphStage, Stage, load_stage
from ostraka_worker.faults import Fault
from ostraka_worker.herald import WHERE_S, Herald
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.lead import Lead
from ostraka_worker.links import Prober
from ostraka_worker.measure import Trial
from ostraka_worker.memory import offered_bytes
from ostraka_worker.node import Node
from ostraka_worker.possession import Responder
from ostraka_worker.records import Records
from ostraka_worker.tabs import Tabs, open_tabs

log = logging.getLogger("ostraka.node")
RETRY_S = 5.0
CLAIM_S = 30.0  # between looks whether its claim still stands
WAITING = 64  # threads, which wait for the chain: asyncio would have a handful where cores are few


@dataclass
class Service:
    config: WorkerConfig
    key: Key
    market: Court
    sender: Sender
    store: ContentStore
    kernel: Kernel
    node_id: NodeId
    node: Node
    trial: Trial
    responder: Responder
    attendant: Attendant
    tabs: Tabs
    memory_bytes: int  # of block files that it may hold
    endpoint: str = ""
    span: tuple[ModelId, BlockSpan] | None = None
    prober: Prober = field(default_factory=Prober)
    _taking: asyncio.Task[None] | None = None
    _claiming: asyncio.Lock = field(default_factory=asyncio.Lock)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)  # there is news to beat at once

    @staticmethod
    def open(config: WorkerConfig) -> Service:
        """Raises `ConfigError`, `ChainUnreachable` or `UsageError`: whatever keeps this node from serving, with the remedy."""
        torch.set_num_threads(config.threads)
        fault = Fault.parse(config.fault)
        key = load_key(config.key)
        kernel, why = pick_kernel(config.kernel)
        log.info("kernel %s; %d threads; SIMD %s", why, config.threads, torch.backends.cpu.get_cpu_capability())
        memory_bytes = offered_bytes(kernel, config.kv_bytes, config.memory_bytes)
        web3 = connect(config.profile.chain_url)
        market = Court(web3, Deployment.load(config.profile.deployment))
        heads = Heads(config.profile.chain_ws_url)
        market.follow_jobs(heads)
        node_id = market.node_of_signer(key.address)
        if not node_id:
            raise UsageError(
                f"key {config.key}: {key.address} signs for no node; register one with `ostraka node register --signer {config.key}`"
            )
        if not config.profile.orchestrator_url:
            raise ConfigError("orchestrator.url: not set; a node needs an orchestrator that sends it work")
        sender = Sender(web3, key)
        identity = Identity(market.domain, key, node_id)
        records = Records(config.state / "records")
        lead = Lead(identity, market, sender, records, heads)
        node = Node(identity, market, records, lead, fault, config.kv_bytes)
        store = open_store(config.profile.store_url)
        if not isinstance(store, LocalStore):
            store = CachedStore(store, config.state / "blocks", config.cache_bytes)
        responder = Responder(market, sender, store, node_id, fault)
        attendant = attend(config, market, sender, store, kernel, records, node_id, fault)
        trial = Trial(kernel)
        node.trial = trial.sample()
        tabs = open_tabs(config, market, node)
        return Service(
            config,
            key,
            market,
            sender,
            store,
            kernel,
            node_id,
            node,
            trial,
            responder,
            attendant,
            tabs,
            memory_bytes,
        )

    # ── blocks ──

    def load(self, model_id: ModelId, span: BlockSpan) -> tuple[Stage | GraphStage, AnyManifest]:
        """Fetches, checks and loads a span. A block whose hash is wrong is refused by name, and nothing is claimed."""
        manifest = load_manifest(self.store.get(cid_of_digest(model_id), max_bytes=MAX_MANIFEST_BYTES))
        if self.market.shard_root(model_id) != bytes.fromhex(manifest.shard_root):
            raise HashMismatch(
                f"{manifest.name}: the shard root on chain is not the manifest's, so no possession challenge about it could be "
                "answered; serve another model"
            )
        needed = sum(b.held_bytes for b in manifest.blocks[span.start : span.stop])
        if needed > self.memory_bytes:
            raise ConfigError(f"span {span}: needs {needed} bytes, this node has room for {self.memory_bytes}")

        if isinstance(self.store, CachedStore):
            blocks = manifest.blocks[span.start : span.stop]
            with transfer(f"fetching {manifest.name} {span}", log.info) as report:
                self.store.bring([(block.cid, block.bytes) for block in blocks], report)

        def fetch(index: int) -> bytes:
            block = manifest.blocks[index]
            try:
                file = self.store.get(block.cid, max_bytes=block.bytes)
            except HashMismatch as error:
                raise HashMismatch(f"block {index} of {manifest.name}: refused, {error}") from error
            if (len(file), chunk_root(file).hex()) != (block.bytes, block.chunk_root):
                raise HashMismatch(
                    f"block {index} of {manifest.name}: refused, its chunk root is not the manifest's, so no possession "
                    "challenge about it could be answered"
                )
            return file

        def progress(done: int, total: int, what: str) -> None:
            log.info("loading %s: %d of %d (%s)", manifest.name, done, total, what)

        return load_stage(manifest, span.start, span.stop, fetch, self.kernel, progress), manifest

    def claim(self, model_id: ModelId, span: BlockSpan) -> None:
        """Puts the span on chain. Raises `StakeTooLow` with what is missing."""
        if self.market.span(self.node_id, model_id) == span:
            return
        operator = self.market.node(self.node_id).operator
        minimum, free = self.market.minimum_stake(model_id), self.market.free_stake(operator)
        if free < minimum:
            raise StakeTooLow(
                f"stake: operator {operator} has {free / OSTR:g} OSTR free, this model asks for {minimum / OSTR:g}; "
                "add stake with `ostraka node stake`"
            )
        self.sender.send(self.market.claim(self.node_id, model_id, span))

    async def take(self, model_id: ModelId, span: BlockSpan) -> None:
        """Fetches, loads and claims a span in place of the one there is, which is let go first: memory holds one."""
        async with self._claiming:
            await self._exchange(model_id, span)

    async def _exchange(self, model_id: ModelId, span: BlockSpan) -> None:
        before, self.span = self.span, None
        if before is not None:
            self.node.stop_serving()
        stage, manifest = await asyncio.to_thread(self.load, model_id, span)
        if before is not None and before[0] != model_id:
            await asyncio.to_thread(self.sender.send, self.market.release(self.node_id, before[0]))
        await asyncio.to_thread(self.claim, model_id, span)
        self.responder.watch(model_id)
        self.node.serve_stage(stage, model_id)
        self.span = (model_id, span)
        log.info("node %d serves blocks %s of %s", self.node_id, span, manifest.name)

    async def keep_claim(self) -> None:
        """Claims its span again, for ever, where the claim was ended: work is given to whoever serves, and paid to whoever has claimed."""
        while True:
            await asyncio.sleep(CLAIM_S)
            async with self._claiming:
                try:
                    if self.span is not None:
                        await asyncio.to_thread(self.claim_again, *self.span)
                except OstrakaError as error:
                    log.warning("claim: %s", error)

    def claim_again(self, model_id: ModelId, span: BlockSpan) -> None:
        """After its stake lacked something, or a jail: once the node may claim and the stake suffices. Raises `StakeTooLow`."""
        if self.market.span(self.node_id, model_id) == span:
            return
        if self.market.node(self.node_id).status in (NodeStatus.PENDING, NodeStatus.ACTIVE):
            self.claim(model_id, span)
            log.info("blocks %s are claimed again: the claim had been ended", span)

    async def guard(self) -> None:
        """Looks for possession challenges for ever, apart from the heartbeats: an orchestrator that is away must not cost stake."""
        while True:
            try:
                await asyncio.to_thread(self.responder.look)
            except OstrakaError as error:
                log.warning("possession challenges: %s", error)
            await asyncio.sleep(self.config.possession_s)

    async def stand_by(self) -> None:
        """Looks at disputes for ever, in a thread of their own: recomputing a block takes longer than a step of a session may wait."""
        await look_for_ever(self.attendant, self.config.disputes_s)

    # ── heartbeats ──

    def heartbeat(self) -> bytes:
        span = [self.span[0].hex(), self.span[1].start, self.span[1].stop] if self.span else None
        # Floats have no canonical form, and none is needed: whole multiply–adds per second.
        pace = self.node.pace
        return canonical_json(
            {
                "node_id": self.node_id,
                "endpoint": self.endpoint,
                "memory_bytes": self.memory_bytes,
                "speed": max(int(pace.speed), 1),
                "step_us": round(pace.step_s * 1e6),
                "time": int(time.time()),
                "span": span,
                "kernel": self.kernel.name,
                "simd": torch.backends.cpu.get_cpu_capability(),
                "threads": self.config.threads,
                "busy": self.node.busy,
                "positions_left": self.node.positions_left,
                "links": self.prober.rows(),
            }
        )

    async def beat(self, http: httpx.AsyncClient, herald: Herald) -> dict[str, Any]:
        """Tells every orchestrator; returns what the profile's own says."""
        body = self.heartbeat()
        signature = Account.sign_message(encode_defunct(body), self.key.secret).signature.hex()
        headers = {"x-ostraka-signature": signature}
        herald.tell(body, headers)
        answer = await http.post("/v1/heartbeat", content=body, headers=headers)
        if answer.status_code != 200:
            raise UsageError(f"orchestrator refused the heartbeat: {answer.json().get('message', answer.text)}")
        reply: dict[str, Any] = answer.json()
        return reply

    def follow(self, placement: Any) -> None:
        """Takes the span that the orchestrator names, beside the heartbeats; a node that moves first ends what it has begun."""
        if not placement or (self._taking is not None and not self._taking.done()):
            return
        model, start, stop = placement
        wanted = ModelId(bytes.fromhex(model)), BlockSpan(start, stop)
        if wanted != self.span and not (self.span is not None and self.node.busy):
            self._taking = asyncio.create_task(self._take(*wanted))

    async def _take(self, model_id: ModelId, span: BlockSpan) -> None:
        try:
            await self.take(model_id, span)
            self._changed.set()
        except OstrakaError as error:
            log.error("%s", error)
            await asyncio.sleep(RETRY_S)
        except Exception:
            log.exception("taking %s broke", span)
            await asyncio.sleep(RETRY_S)

    async def loop(self) -> None:
        """Beats for ever. Whatever goes wrong is logged and tried again: a node must not die of a bad minute."""
        own_url = self.config.profile.orchestrator_url
        whereabouts = Whereabouts(self.market, self.market.deployment.block_number, WHERE_S)
        async with (
            aclosing(Herald(whereabouts.active, own_url)) as herald,
            httpx.AsyncClient(base_url=own_url, timeout=10.0) as http,
        ):
            while True:
                pause = self.config.heartbeat_s
                try:
                    await self.node.reap(asyncio.get_running_loop().time())
                    if self.trial.wants and not self.node.busy:
                        self.node.trial = await asyncio.to_thread(self.trial.sample)
                    reply = await self.beat(http, herald)
                    self.prober.look_at([(int(node), str(endpoint)) for node, endpoint in reply.get("probe", [])])
                    self.follow(reply["placement"])
                except httpx.HTTPError as error:
                    log.warning("orchestrator at %s: %s", own_url, error)
                except OstrakaError as error:
                    log.error("%s", error)
                    pause = RETRY_S
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), pause)
                self._changed.clear()


async def serve(config: WorkerConfig) -> None:
    """Runs until SIGTERM or SIGINT."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WAITING, thread_name_prefix="waiting"))
    service = await asyncio.to_thread(Service.open, config)
    host, _, port = config.listen.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"listen: {config.listen!r}; write host:port")
    unary = {**service.node.unary, **service.tabs.unary}
    streaming = {**service.node.streaming, **service.tabs.streaming}
    server, bound = await serve_grpc(host, int(port), unary, streaming)  # type: ignore[arg-type]
    service.endpoint = config.announce or f"{host}:{bound}"
    service.node.lead.resume()
    log.info("node %d (%s) listens on %s", service.node_id, service.key.address, service.endpoint)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    tasks = [asyncio.create_task(service.loop()), asyncio.create_task(service.guard())]
    tasks += [asyncio.create_task(service.stand_by()), asyncio.create_task(service.keep_claim())]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await server.stop(1.0)
    service.node.shut_down()
    close_traces()
    logging.shutdown()
    os._exit(0)  # a computation that is still running must not keep the process
