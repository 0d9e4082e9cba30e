"""Putting the attendant together, beside a serving node or alone."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import torch

from ostraka.chain import Court, Deployment, Sender, connect
from ostraka.crypto.keys import load_key
from ostraka.errors import OstrakaError, UsageError
from ostraka.store import CachedStore, ContentStore, LocalStore, open_store
from ostraka.types import NodeId
from ostraka_worker.config import WorkerConfig
from ostraka_worker.disputes.attendant import Attendant
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


async def look_for_ever(attendant: Attendant, pause_s: float) -> None:
    while True:
        try:
            await asyncio.to_thread(attendant.look)
        except OstrakaError as error:
            log.warning("disputes: %s", error)
        except Exception:  # a node must not stop defending itself for one dispute that it does not understand
            log.exception("a look at the disputes broke")
        await asyncio.sleep(pause_s)


async def judge(config: WorkerConfig) -> None:
    """Sits on juries and does nothing else: no blocks, no orchestrator. Runs until SIGTERM or SIGINT."""
    torch.set_num_threads(config.threads)
    key = load_key(config.key)
    kernel, why = pick_kernel(config.kernel)
    web3 = connect(config.profile.chain_url)
    court, sender = Court(web3, Deployment.load(config.profile.deployment)), Sender(web3, key)
    node_id = court.node_of_signer(key.address)
    if not node_id:
        raise UsageError(
            f"key {config.key}: {key.address} signs for no node, and a juror votes with the key of one; register one with "
            f"`ostraka node register --signer {config.key}`"
        )
    store = open_store(config.profile.store_url)
    if not isinstance(store, LocalStore):
        store = CachedStore(store, config.state / "blocks", config.cache_bytes)
    records, fault = Records(config.state / "records"), Fault.parse(config.fault)
    attendant = attend(config, court, sender, store, kernel, records, node_id, fault, defends=False)
    log.info("node %d (%s) judges; kernel %s", node_id, key.address, why)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    task = asyncio.create_task(look_for_ever(attendant, config.disputes_s))
    await stop.wait()
    task.cancel()
    logging.shutdown()
    os._exit(0)  # a computation that is still running must not keep the process
