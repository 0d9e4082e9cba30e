"""The orchestrator's HTTP interface: heartbeats from nodes, inputs and questions from requesters."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import redis.asyncio
from eth_account import Account
from eth_account.messages import encode_defunct
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from ostraka.chain.job_log import JobFacts
from ostraka.chain.orchestrators import ANYBODY
from ostraka.errors import BadFrame, BadSignature, OstrakaError, Unavailable, UnknownJob, UsageError
from ostraka.wire.job_input import MAX_INPUT_BYTES, decode_input
from ostraka.wire.messages import MAX_LINKS, MAX_POSITIONS
from ostraka_orchestrator.board import Heartbeat
from ostraka_orchestrator.desk import Desk
from ostraka_orchestrator.metrics import Metrics
from ostraka_orchestrator.roster import to_probe
from ostraka_orchestrator.state import JobEntry, State

MAX_HEARTBEAT_BYTES = 4096
MAX_CONTENT_BYTES = 16 << 20  # manifests and tokenizers, not weights
CLOCK_SKEW_S = 30
SOON_S, POLL_S = 1.0, 0.05  # how long a job that the service has not seen yet is waited for before the chain is asked


def make_api(desk: Desk, state: Callable[[], State], now: Callable[[], int], metrics: Metrics) -> FastAPI:
    """`state` and `now` give the newest state and time of the chain that the service has seen: it reads each chain block once for all."""
    app = FastAPI(title="Ostraka orchestrator", version="1", docs_url="/docs")
    events = redis.asyncio.Redis.from_url(desk.config.queue_url)

    @app.exception_handler(OstrakaError)
    async def refuse(_: Request, error: OstrakaError) -> JSONResponse:
        status = 404 if isinstance(error, UnknownJob) else 400 if isinstance(error, UsageError | BadFrame) else 403
        if isinstance(error, Unavailable):
            status = 503
        return JSONResponse({"error": type(error).__name__, "message": str(error)}, status)

    @app.exception_handler(redis.RedisError)
    async def queue_away(_: Request, error: redis.RedisError) -> JSONResponse:
        return JSONResponse(
            {"error": "Unavailable", "message": f"the queue's server is away ({error}); try again"}, 503
        )

    @app.get("/healthz")
    async def health() -> dict[str, Any]:
        await asyncio.to_thread(desk.board.check)
        return {
            "orchestrator": desk.sender.address,
            "chain_block": state().next_block - 1,
            "nodes": len(await asyncio.to_thread(desk.board.heartbeats)),
        }

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(await asyncio.to_thread(metrics.text), media_type="text/plain; version=0.0.4")

    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        return await asyncio.to_thread(metrics.snapshot)

    @app.post("/v1/heartbeat")
    async def heartbeat(request: Request) -> dict[str, Any]:
        body = await read(request, MAX_HEARTBEAT_BYTES)
        beat = check_heartbeat(body, request.headers.get("x-ostraka-signature", ""), state(), now())
        await asyncio.to_thread(desk.board.beat, beat, desk.config.heartbeat_ttl_s)
        beats = {**await asyncio.to_thread(desk.beats), beat.node_id: beat}
        return {
            "placement": await asyncio.to_thread(desk.board.placement, beat.node_id),
            "probe": to_probe(beats, beat.node_id, beat.time),
        }

    @app.get("/v1/nodes")
    async def nodes() -> list[dict[str, Any]]:
        beats = await asyncio.to_thread(desk.board.heartbeats)
        known = state().nodes
        return [
            msgspec.to_builtins(beat) | {"operator": known[i].operator, "status": known[i].status.name.lower()}
            for i, beat in sorted(beats.items())
            if i in known
        ]

    @app.get("/v1/content/{cid}")
    async def content(cid: str) -> Response:
        """Manifests and tokenizers, for requesters without a content store of their own. They check the hash."""
        try:
            data = await asyncio.to_thread(lambda: desk.store.get(cid, max_bytes=MAX_CONTENT_BYTES))
        except ValueError as error:
            raise UsageError(str(error)) from error
        return Response(data, media_type="application/octet-stream")

    @app.post("/v1/jobs/{job_id}/input")
    async def put_input(job_id: int, request: Request) -> dict[str, Any]:
        data = await read(request, MAX_INPUT_BYTES)
        job = await find_job(desk, state, job_id)
        if job.orchestrator not in (desk.sender.address, ANYBODY):
            raise UsageError(f"job {job_id}: it names orchestrator {job.orchestrator}, this is {desk.sender.address}")
        job_input = decode_input(data)
        if job_input.digest != job.input_digest:
            raise BadFrame(f"job {job_id}: the input's digest is not the one on chain")
        manifest = await asyncio.to_thread(desk.manifest, job.model_id)
        job_input.check_for(manifest, MAX_POSITIONS)
        await asyncio.to_thread(desk.make_room, job_id, job)
        await asyncio.to_thread(desk.board.put_input, job_id, data)
        return {"job_id": job_id}

    @app.get("/v1/jobs/{job_id}")
    async def job_status(job_id: int) -> dict[str, Any]:
        return {
            "job_id": job_id,
            "events": await asyncio.to_thread(lambda: list(desk.board.told(job_id))),
            "replicas": await asyncio.to_thread(shown_replicas, desk, job_id),
        }

    @app.get("/v1/jobs/{job_id}/events")
    async def watch(job_id: int, after: str = "0") -> StreamingResponse:
        """Server-sent events from `after` on. Ends with the job; a dropped connection goes on from its last event id."""
        return StreamingResponse(
            stream(events, desk.board.events_key(job_id), job_id, after, state), media_type="text/event-stream"
        )

    return app


async def find_job(desk: Desk, state: Callable[[], State], job_id: int) -> JobEntry | JobFacts:
    """A requester sends its input as soon as the job is mined; it is matched when the service has seen it, and not before."""
    for _ in range(round(SOON_S / POLL_S)):
        if (entry := state().jobs.get(job_id)) is not None:
            return entry
        await asyncio.sleep(POLL_S)
    return await asyncio.to_thread(desk.market.job_facts, job_id)


def shown_replicas(desk: Desk, job_id: int) -> dict[int, dict[str, Any]]:
    """What the board has of a job's replicas; packed outputs in base64."""
    outputs = desk.board.outputs(job_id)
    return {
        replica: {**value, "outputs": base64.b64encode(outputs[replica]).decode()} if replica in outputs else value
        for replica, value in desk.board.replicas(job_id).items()
    }


async def read(request: Request, limit: int) -> bytes:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > limit:
            raise BadFrame(f"body: longer than {limit} bytes")
    return data


def check_heartbeat(body: bytes, signature: str, state: State, now: float) -> Heartbeat:
    """Raises `BadFrame` or `BadSignature` unless the node's registered signer wrote this, just now."""
    try:
        beat = msgspec.json.decode(body, type=Heartbeat)
        signer = Account.recover_message(encode_defunct(body), signature=bytes.fromhex(signature))
    except msgspec.MsgspecError as error:
        raise BadFrame(f"heartbeat: {error}") from error
    except Exception as error:  # eth-account raises many kinds for one thing
        raise BadSignature("heartbeat: x-ostraka-signature is no signature of this body") from error
    node = state.nodes.get(beat.node_id)
    if node is None:
        raise BadFrame(f"heartbeat: node {beat.node_id} is not registered")
    if signer != node.signer:
        raise BadSignature(f"heartbeat: signed by {signer}, node {beat.node_id}'s signer is {node.signer}")
    if abs(beat.time - now) > CLOCK_SKEW_S:
        raise BadFrame(f"heartbeat: its time {beat.time} is {abs(beat.time - now):.0f} s off; set the clock")
    if not (beat.speed > 0 and beat.memory_bytes > 0):
        raise BadFrame(f"heartbeat: speed {beat.speed} and memory_bytes {beat.memory_bytes} must be positive")
    if not 0 <= beat.step_us < 10**8:
        raise BadFrame(f"heartbeat: step_us {beat.step_us} must be microseconds from 0 up to 10^8")
    if not 0 <= beat.positions_left <= MAX_POSITIONS:
        raise BadFrame(f"heartbeat: positions_left {beat.positions_left} must be from 0 to {MAX_POSITIONS}")
    if len(beat.links) > MAX_LINKS or not all(0 <= us < 10**8 and 0 < width < 2**50 for _, us, width in beat.links):
        raise BadFrame(
            f"heartbeat: links must be at most {MAX_LINKS} rows of node, µs below 10^8, bytes per second above 0"
        )
    return beat


async def stream(events: Any, key: str, job_id: int, after: str, state: Callable[[], State]) -> AsyncIterator[str]:
    last = after
    while True:
        got = await events.xread({key: last}, block=500)
        for _, entries in got or []:
            for entry_id, fields in entries:
                last = entry_id.decode()
                yield f"id: {last}\ndata: {fields[b'event'].decode()}\n\n"
        end = state().closed.get(job_id)
        if end is not None and not got:
            yield f'data: {{"type": "closed", "state": "{end.name.lower()}"}}\n\n'
            return
        if not got:
            yield ": still here\n\n"
