"""A job that ended in a quarrel, on an embedded chain: three nodes with the whole tiny model, of which two may have lied alike."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import msgspec
from tests.worker.engine.tiny import tiny_model

from ostraka.chain import Court, Sender
from ostraka.chain.accounts import register_node
from ostraka.chain.deploy import deploy
from ostraka.crypto.eip712 import assignment_message, commitment, sign
from ostraka.crypto.keys import derive_key
from ostraka.crypto.trace import Digests, first_divergence, make_result
from ostraka.devnet.spec import DEPLOYER, FIRST_OPERATOR, FIRST_SIGNER, MNEMONIC, ORCHESTRATOR, REQUESTER
from ostraka.model import Manifest, dump_manifest
from ostraka.params import preset
from ostraka.store import LocalStore
from ostraka.types import OSTR, Assignment, BlockSpan, JobId, NodeId, Stage
from ostraka.wire.job_input import JobInput
from ostraka_worker.disputes.attendant import Attendant
from ostraka_worker.disputes.audit import Auditor
from ostraka_worker.disputes.defence import Defence
from ostraka_worker.disputes.docket import Docket
from ostraka_worker.disputes.juror import Juror
from ostraka_worker.disputes.weights import weight_tree
from ostraka_worker.disputes.workshop import Workshop
from ostraka_worker.engine.local import generate_local
from ostraka_worker.faults import Fault
from ostraka_worker.kernels.probe import pick_kernel
from ostraka_worker.records import Record, Records

JOB = JobInput(prompt=[5, 9, 30, 7], max_tokens=5, stop=[2])
PRICE = 10**12
NODES, JURORS = 3, 3
# Windows that end when all have voted may be as long as they like; those that do not are short.
PARAMS = dataclasses.replace(
    preset("local"),
    response_window_s=20,
    seed_lifetime_blocks=5,
    round_blocks=5,
    seat_s=60,
    vote_s=60,
    vote_reveal_s=60,
    appeal_s=6,
)


@dataclass
class Town:
    """Contracts, three nodes that serve and three operators in the lot. Keys: account `FIRST_OPERATOR + i`, `FIRST_SIGNER + i`."""

    court: Court
    store: LocalStore
    manifest: Manifest
    tokens: list[int]
    honest: Digests
    folder: Path

    def sender(self, account: int) -> Sender:
        return Sender(self.court.web3, derive_key(MNEMONIC, account))

    def signer(self, index: int) -> Sender:
        return self.sender(FIRST_SIGNER + index)

    def node_id(self, index: int) -> int:
        return self.court.node_of_signer(self.signer(index).address)

    def tampered(self, block: int, position: int) -> Digests:
        """As a thief would state it: another row behind `block` at `position`, and on from there."""
        digests = self.honest.copy()
        digests[position, block + 1 : -1] ^= 0x5A
        return digests

    def submit(self, seconds: int = 60) -> int:
        """A job that must have commits within so many seconds. Returns its number."""
        units = len(self.honest)
        request = (self.manifest.digest, JOB.digest, NODES, units, NODES * units * PRICE, self.court.now() + seconds)
        call = self.court.submit(*request, self.sender(ORCHESTRATOR).address)
        return self.court.submitted_id(self.sender(REQUESTER).send(call))

    def run_job(self, traces: list[Digests], *, counted: bool = True) -> int:
        """Commits, reveals and, unless somebody else shall do it, counts; replica i is node i's. Returns the job's number."""
        orchestrator, court = self.sender(ORCHESTRATOR), self.court
        job_id = self.submit()
        results = [make_result(trace, self.tokens, self.manifest.digest, JOB.digest) for trace in traces]
        salt = b"s" * 32
        for index, result in enumerate(results):
            node, signer = self.node_id(index), self.signer(index)
            assignment = Assignment(JobId(job_id), index, (Stage(node, 0, len(self.manifest.blocks), 10_000),))
            signature = sign(orchestrator.key.secret, assignment_message(court.domain, assignment))
            sealed = commitment(court.domain, job_id, index, signer.address, result.hash, result.trace_root, salt)
            signer.send(court.commit(assignment, signature, [], sealed))
        for index, result in enumerate(results):
            call = court.reveal(job_id, index, result.units, result.output, result.trace_root, salt)
            self.signer(index).send(call)
        if counted:
            self.sender(REQUESTER).send(court.finalize(job_id))
        return job_id

    def pinpoint(self, job_id: int, traces: list[Digests], loser: int, winner: int) -> None:
        found = first_divergence(traces[loser], traces[winner], self.manifest.digest, JOB.digest)
        self.sender(ORCHESTRATOR).send(self.court.pinpoint(job_id, loser, winner, self.court.reveals(job_id), found))

    def records(self, index: int, job_id: int, replica: int, trace: Digests) -> Records:
        """A node's folder, with what it kept of a replica."""
        records = Records(self.folder / f"node-{index}")
        record = Record(job_id, replica, True, self.tokens, len(trace), b"", b"", b"", terms=JOB.terms.encode())
        records.save(record, trace)
        return records

    def attendant(self, index: int, records: Records, juror: bool = False, verdict=None) -> Attendant:
        """As after a start of node `index`. `verdict` is a dishonest juror's."""
        signer, rules = self.signer(index), self.court.jury_rules()
        workshop = Workshop(self.court, self.store, pick_kernel()[0], records)
        if verdict is not None:
            workshop.verdict = lambda question: verdict  # type: ignore[method-assign]
        operator = self.sender(FIRST_OPERATOR + index).address
        defence = Defence(self.court, signer, workshop, self.node_id(index), 10 * OSTR, Fault(), rules)
        sits = Juror(self.court, signer, workshop, operator) if juror else None
        return Attendant(self.court, signer, Docket(self.court), rules, None if juror else defence, sits)

    def auditor(self, account: int, records: Records) -> Auditor:
        rules, sender = self.court.jury_rules(), self.sender(account)
        workshop = Workshop(self.court, self.store, pick_kernel()[0], records)
        defence = Defence(self.court, sender, workshop, NodeId(0), 10 * OSTR, Fault(), rules)
        docket, folder = Docket(self.court), self.folder / "findings"
        return Auditor(self.court, sender, workshop, defence, docket, rules, folder, 0)


def build_town(web3, folder: Path) -> Town:
    manifest, files = tiny_model()
    store = LocalStore(folder / "store")
    cids = [store.put(files[i]) for i in range(len(manifest.blocks))]
    blocks = tuple(msgspec.structs.replace(b, cid=c) for b, c in zip(manifest.blocks, cids, strict=True))
    manifest = msgspec.structs.replace(manifest, blocks=blocks)
    store.put(dump_manifest(manifest))
    tokens, honest = generate_local(
        manifest, files.__getitem__, JOB.prompt, JOB.max_tokens, JOB.stop, pick_kernel()[0], sampling=JOB.sampling
    )
    deployer = Sender(web3, derive_key(MNEMONIC, DEPLOYER))
    orchestrator = derive_key(MNEMONIC, ORCHESTRATOR).address
    court = Court(web3, deploy(deployer, PARAMS, [orchestrator], lambda done, total: None))
    town = Town(court, store, manifest, tokens, honest, folder)
    deployer.send(court.publish(manifest, 100, PRICE, 0))
    deployer.send(court.publish_weights(manifest.digest, weight_tree(manifest, files.__getitem__).root))
    deployer.send(court.transfer(derive_key(MNEMONIC, REQUESTER).address, 100 * OSTR))
    town.sender(REQUESTER).send(court.approve("JobMarket", 100 * OSTR))
    for index in range(NODES + JURORS):
        operator, signer = town.sender(FIRST_OPERATOR + index), town.signer(index)
        deployer.send(court.transfer(operator.address, 100 * OSTR))
        deployer.send(court.transfer(signer.address, 5 * OSTR))
        register_node(court, operator, signer.key, "127.0.0.1:9", 100 * OSTR)
        if index < NODES:
            signer.send(court.claim(town.node_id(index), manifest.digest, BlockSpan(0, len(manifest.blocks))))
        else:
            operator.send(court.join_lot())
    return town
