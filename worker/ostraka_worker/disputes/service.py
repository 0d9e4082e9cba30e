"""Putting the attendant together, beside a serving node or alone."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Protocol

import torch

from ostraka.chain import Court, Deployment, Sender, connect
from ostraka.crypto.keys import load_key
from ostraka.errors import OstrakaError, UsageError
from ostraka.store import CachedStore, ContentStore, LocalStore, open_store
from ostraka.types import NodeId
from ostraka_worker.config import WorkerConfig
from ostraka_worker.disputes.attendant import Attendant
from ostraka_worker.disputes.audit import Auditor
from ostraka_worker.disputes.defence import Defence
from ostraka_worker.disputes.docket import Docket
from ostraka_worker.disputes.juror import Juror
from ostraka_worker.disputes.workshop import Workshop, log
from ostraka_worker.faults import Fault
from ostraka_worker.kernels.gemm import Kernel
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.records import Records


def attend(
    config: WorkerConfig,
    court: Court,
    sender: Sender,
    store: ContentStore,
    kernel: Kernel,
    records: Records,
    node_id: NodeId,
    fault: Fault,
    defends: bool = True,
) -> Attendant:
    """For the node whose signer `sender` is. Says in the log what keeps a juror from being drawn, or a node from defending itself."""
    workshop, rules = Workshop(court, store, kernel, records), court.jury_rules()
    operator = court.node(node_id).operator
    juror = Juror(court, sender, workshop, operator) if config.juror else None
    if juror and not any(court.lot_weight(operator)):
        log.warning(
            "operator %s is not in the lot, so it is never drawn: `ostraka node jury join --operator KEY`", operator
        )
    defence = Defence(court, sender, workshop, node_id, config.contest_limit, fault, rules) if defends else None
    if defence and config.contest_limit and not court.token_balance(sender.address):
        log.warning(
            "signer %s holds no tokens, so it cannot contest a wrong blame: send it some with `ostraka wallet send`",
            sender.address,
        )
    return Attendant(court, sender, Docket(court), rules, defence, juror)


class Looker(Protocol):
    def look(self) -> None: ...


async def look_for_ever(looker: Looker, pause_s: float) -> None:
    while True:
        try:
            await asyncio.to_thread(looker.look)
        except OstrakaError as error:
            log.warning("disputes: %s", error)
        except Exception:  # a node must not stop defending itself for one dispute that it does not understand
            log.exception("a look at the disputes broke")
        await asyncio.sleep(pause_s)


def open_alone(config: WorkerConfig) -> tuple[Court, Sender, Workshop]:
    """Court, key and workshop of a program that serves no blocks. Raises `ConfigError` or `ChainUnreachable`."""
    torch.set_num_threads(config.threads)
    kernel, why = pick_kernel(config.kernel)
    web3 = connect(config.profile.chain_url)
    court, sender = Court(web3, Deployment.load(config.profile.deployment)), Sender(web3, load_key(config.key))
    store = open_store(config.profile.store_url)
    if not isinstance(store, LocalStore):
        store = CachedStore(store, config.state / "blocks", config.cache_bytes)
    log.info("%s; kernel %s", sender.address, why)
    return court, sender, Workshop(court, store, kernel, Records(config.state / "records"))


def open_auditor(config: WorkerConfig, rate_bps: int) -> Auditor:
    """With any key: an auditor needs no node and no stake, only tokens for bonds where it is to contest."""
    court, sender, workshop = open_alone(config)
    rules = court.jury_rules()
    defence = Defence(court, sender, workshop, NodeId(0), config.contest_limit, Fault(), rules)
    return Auditor(court, sender, workshop, defence, Docket(court), rules, config.state / "findings", rate_bps)


async def audit(config: WorkerConfig, rate_bps: int) -> None:
    """Audits until SIGTERM or SIGINT."""
    auditor = open_auditor(config, rate_bps)
    await asyncio.to_thread(auditor.defence.prepare)
    await until_stopped(auditor, config.disputes_s)


async def judge(config: WorkerConfig) -> None:
    """Sits on juries and does nothing else: no blocks, no orchestrator. Runs until SIGTERM or SIGINT."""
    court, sender, workshop = open_alone(config)
    node_id = court.node_of_signer(sender.address)
    if not node_id:
        raise UsageError(
            f"key {config.key}: {sender.address} signs for no node, and a juror votes with the key of one; register one with "
            f"`ostraka node register --signer {config.key}`"
        )
    fault = Fault.parse(config.fault)
    parts = (court, sender, workshop.store, workshop.kernel, workshop.records, node_id, fault)
    await until_stopped(attend(config, *parts, defends=False), config.disputes_s)


async def until_stopped(looker: Looker, pause_s: float) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    task = asyncio.create_task(look_for_ever(looker, pause_s))
    await stop.wait()
    task.cancel()
    logging.shutdown()
    os._exit(0)  # a computation that is still running must not keep the process
