"""The client: submit jobs, watch them, get answers that the chain vouches for."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType

from ostraka.chain import Deployment, Market, Sender, connect
from ostraka.chain.catalogue import Catalogue
from ostraka.chain.remember import Remembered
from ostraka.chain.vouchers import Vouchers
from ostraka.chain.whereabouts import Whereabouts
from ostraka.client.conversation import Prompt
from ostraka.client.generation import Generation
from ostraka.client.group import Group
from ostraka.client.networks import Networks
from ostraka.client.orchestrator import OrchestratorApi
from ostraka.client.profile import Profile, load_profile
from ostraka.client.purse import GOOD_FOR_S, Purse
from ostraka.client.reader import NetworkReader
from ostraka.client.tab import AHEAD, Tab, choose_node
from ostraka.client.text import ModelText
from ostraka.crypto.keys import Key, load_key
from ostraka.errors import (
    ConfigError,
    PriceCapTooLow,
    TransactionFailed,
    UnknownModel,
    UsageError,
)
from ostraka.model import MAX_MANIFEST_BYTES, AnyManifest, language_model, load_manifest
from ostraka.store import ContentStore, HttpStore, cid_of_digest, open_store
from ostraka.telemetry import begin_job, open_traces, past_span, span
from ostraka.types import OSTR, Address, ModelId, NodeId
from ostraka.wire.job_input import AnyInput, JobInput
from ostraka.wire.sampling import GREEDY, Sampling, make_sampling

MODELS_S, HEALTH_S, SIGNERS_S = 5.0, 2.0, 10.0  # how long a busy client remembers
WHERE_S = 10.0  # and any client, where orchestrators are


@dataclass(frozen=True)
class ModelInfo:
    """A model on the market. Prices are in wei of the token, for one position of one replica."""

    model_id: ModelId
    name: str
    blocks: int
    max_units: int
    price_per_unit: int


class Client(Networks):
    """A requester's view of one network. Use it as a context manager, or call `close()`."""

    def __init__(self, profile: Profile | None = None, key: Key | None = None, *, busy: bool = False) -> None:
        """Takes the profile that `load_profile()` finds, and the key that the profile names.

        `busy` is for programs with many jobs at once: what changes slowly is remembered for some seconds, and what becomes of jobs is read
        from all jobs' events together instead of asking about each.

        Raises `ConfigError` for settings that are missing and `ChainUnreachable` when no node answers.
        """
        open_traces("ostraka-client")
        self.profile = profile or load_profile()
        self.deployment = Deployment.load(self.profile.deployment)
        self.web3 = connect(self.profile.chain_url)
        if self.web3.eth.chain_id != self.deployment.chain_id:
            raise ConfigError(
                f"chain.url: {self.profile.chain_url} is chain {self.web3.eth.chain_id}, "
                f"the deployment is on {self.deployment.chain_id}"
            )
        self.market = Market(self.web3, self.deployment)
        if busy:
            self.market.follow_jobs()
        self._busy = busy
        self._catalogue = Catalogue(self.market, self.deployment.block_number)
        self._models: Remembered[str, list[ModelInfo]] = Remembered(MODELS_S if busy else 0.0)
        self._whom: Remembered[str, str] = Remembered(HEALTH_S if busy else 0.0)
        self._signers: Remembered[NodeId, Address] = Remembered(SIGNERS_S if busy else 0.0)
        self._key = key
        whereabouts = Whereabouts(self.market, self.deployment.block_number, WHERE_S)
        self.orchestrators = Group(whereabouts.active, self.profile.orchestrator_url)
        self._manifests: dict[bytes, AnyManifest] = {}
        self._texts: dict[bytes, ModelText] = {}
        self._readers: dict[bytes, NetworkReader] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.orchestrators.close()

    @property
    def key(self) -> Key:
        if self._key is None:
            if self.profile.key is None:
                raise ConfigError("account.key: not set; name a key file in the profile, or set OSTRAKA_KEY")
            self._key = load_key(self.profile.key)
        return self._key

    @cached_property
    def sender(self) -> Sender:
        return Sender(self.web3, self.key)

    @cached_property
    def _purse(self) -> Purse:
        return Purse(self.market, self.sender, GOOD_FOR_S if self._busy else 0.0)

    @property
    def orchestrator(self) -> OrchestratorApi:
        """The profile's own. Jobs go to all: `orchestrators`."""
        return self.orchestrators.own

    @property
    def store(self) -> ContentStore:
        """The profile's store; without one, manifests and tokenizers come from an orchestrator and are checked here."""
        if self.profile.store_url:
            return open_store(self.profile.store_url)
        return HttpStore(f"{self.orchestrators.reachable().url}/v1/content")

    # ── models ──

    def models(self) -> list[ModelInfo]:
        return [
            ModelInfo(ModelId(e.model_id), e.name, e.blocks, e.max_units, e.price_per_unit)
            for e in self._catalogue.models()
        ]

    def find_model(self, model: str) -> ModelInfo:
        """By name (the newest of that name) or by id in hex. Raises `UnknownModel` listing what there is."""
        found = newest(self._models.get("", self.models), model)
        if found is None and self._busy:  # what is remembered may be from before its publication
            found = newest(self._models.refresh("", self.models), model)
        if found is not None:
            return found
        there = ", ".join(sorted({m.name for m in self.models()})) or "none yet"
        raise UnknownModel(f"model: {model!r} is not on this market; there are: {there}")

    def manifest(self, model: ModelInfo) -> AnyManifest:
        if model.model_id not in self._manifests:
            data = self.store.get(cid_of_digest(model.model_id), max_bytes=MAX_MANIFEST_BYTES)
            self._manifests[model.model_id] = load_manifest(data)
        return self._manifests[model.model_id]

    def _text(self, model: ModelInfo) -> ModelText:
        if model.model_id not in self._texts:
            self._texts[model.model_id] = ModelText.fetch(language_model(self.manifest(model)), self.store)
        return self._texts[model.model_id]

    # ── jobs ──

    def price(self, model: str, prompt: Prompt, *, replicas: int = 3, max_tokens: int = 64, chat: bool = True) -> int:
        """The most a job can cost, wei: what its price cap must be at least."""
        info, job = self._job(model, prompt, max_tokens, chat)
        return replicas * job.max_units * info.price_per_unit

    def generate(
        self,
        model: str,
        prompt: Prompt,
        *,
        replicas: int = 3,
        max_tokens: int = 64,
        max_price: float | None = None,
        deadline_s: float = 120.0,
        chat: bool = True,
        temperature: float = 0.0,
        top_p: float | None = None,
        top_k: int | None = None,
        seed: int | None = None,
    ) -> Generation:
        """Submits a job and returns its answer-to-be, which streams when iterated.

        Args:
            prompt: a text, or a conversation so far: a list of {"role": "system", "user" or "assistant", "content": text}, the last of them
                the user's.
            replicas: how many disjoint routes run it; more than half must agree.
            max_price: most that the job may cost, in OSTR. Without it, the price of `max_tokens` tokens is escrowed.
            deadline_s: replicas must have committed within this time, or the escrow is refunded.
            chat: put the text into the model's chat template, where it has one.
            temperature: 0 gives the likeliest token each time; 1 draws from the model's own distribution.
            top_p: draw only from the likeliest tokens that together hold this share. Needs a temperature, like the next two.
            top_k: draw only from the k likeliest tokens.
            seed: 64 bits; the same seed gives the same answer. Without one it is drawn here; `Generation.seed` tells it.

        Raises:
            UsageError: an argument that cannot be.
            UnknownModel, PromptTooLong, PriceCapTooLow, InsufficientFunds: before anything is spent.
            ChainUnreachable, OrchestratorUnreachable: a part of the network is away.
        """
        info, job = self._job(model, prompt, max_tokens, chat, make_sampling(temperature, top_p, top_k, seed))
        job_id, gas = self._submit(info, job, replicas, max_price, deadline_s)
        return Generation(self, job_id, self._text(info), gas, deadline_s, job.sampling)

    def _submit(
        self, info: ModelInfo, job: AnyInput, replicas: int, max_price: float | None, deadline_s: float
    ) -> tuple[int, dict[str, list[int]]]:
        """Escrows, submits and delivers a job: its number, and gas that the chain does not connect with it."""
        began_ns = time.time_ns()
        price = replicas * job.max_units * info.price_per_unit
        cap = price if max_price is None else to_wei(max_price)
        if cap < price:
            raise PriceCapTooLow(
                f"max_price: {cap / OSTR:g} OSTR is below the price of {price / OSTR:g} OSTR "
                f"({replicas} replicas × {job.max_units} positions); raise it, or lower max_tokens or replicas"
            )
        # Before money moves: is anybody there?
        named = self._whom.get("", self.orchestrators.whom)
        deadline = self.market.job_time() + math.ceil(deadline_s)
        call = self.market.submit(info.model_id, job.digest, replicas, job.max_units, cap, deadline, named)
        with self._purse.spend(cap) as gas:
            try:
                mined = self.sender.send(call, sure=self._busy)
            except TransactionFailed as error:
                raise UsageError(f"job: {error}") from error
        job_id = self.market.submitted_id(mined)
        begin_job(self.market.domain, job_id, began_ns)
        past_span(self.market.domain, job_id, "submit", began_ns)
        with span(self.market.domain, job_id, "deliver"):
            self.orchestrators.send_input(job_id, job.encode(), named, time.monotonic() + deadline_s)
        return job_id, gas

    def _job(
        self, model: str, prompt: Prompt, max_tokens: int, chat: bool, sampling: Sampling = GREEDY
    ) -> tuple[ModelInfo, JobInput]:
        info = self.find_model(model)
        text = self._text(info)
        job = JobInput(text.prompt(prompt, chat=chat), max_tokens, text.stop, sampling)
        job.check(text.manifest.arch.vocab, min(text.manifest.arch.context, info.max_units))
        return info, job

    # ── answers without a job ──

    @cached_property
    def vouchers(self) -> Vouchers:
        return Vouchers(self.web3, self.deployment)

    def tab(self, model: str, *, node: int | None = None, deposit: float | None = None, ahead: int = AHEAD) -> Tab:
        """An account with one node that streams answers of a model without a job, paid by vouchers; nobody checks them.

        Args:
            node: number of a node that holds the whole model; without it, the fastest.
            deposit: OSTR to have in reach of this node's operator, who can spend them only against vouchers. What is missing is deposited.
            ahead: positions to pay ahead of what has come: what can be lost to a node that stops.

        Raises:
            UnknownModel, UsageError, InsufficientFunds: before anything is spent.
            Unavailable: no such node is there.
        """
        info = self.find_model(model)
        opened = Tab(self, *choose_node(self, info, node), ahead)
        if deposit is not None:
            opened.top_up(to_wei(deposit))
        return opened

    def signer_of(self, node_id: NodeId) -> Address:
        """The key that signs for a node."""
        return self._signers.get(node_id, lambda: self.market.signer_of(node_id))


def newest(known: Sequence[ModelInfo], model: str) -> ModelInfo | None:
    """The last to be published of that name, or the one of that id in hex."""
    wanted = model.lower().removeprefix("0x")
    return next((info for info in reversed(known) if info.name == model or info.model_id.hex() == wanted), None)


def to_wei(amount: float) -> int:
    """OSTR to wei. Raises `UsageError` unless it is a positive number."""
    if not math.isfinite(amount) or amount <= 0:
        raise UsageError(f"amount: {amount} OSTR; give a positive number")
    return round(amount * 10**9) * 10**9
