"""gRPC beneath the messages: bytes pass through untouched, errors arrive as ours.

The service is `ostraka.Node`; a method is named as its request message. grpcio comes with the `worker` and `orchestrator`
extras; the base package does not import this file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import grpc

from ostraka import errors
from ostraka.wire.messages import MAX_MESSAGE_BYTES, Message, decode, encode

R = TypeVar("R")
SERVICE = "ostraka.Node"
_OPTIONS = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.enable_retries", 0),  # a step is not idempotent at this level
    # A node that was started again is tried within a second; gRPC would give it up for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
_BY_NAME = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}

Unary = Callable[[Any], Awaitable[Message]]
Streaming = Callable[[Any], AsyncIterator[Message]]


def _status(error: BaseException) -> str:
    return f"{type(error).__name__}|{error}"


def _raise(error: grpc.RpcError, endpoint: str) -> Any:
    """The peer's error, as the same class here; anything else means that it cannot be reached."""
    detail = error.details() or ""
    name, bar, text = detail.partition("|")
    kind = _BY_NAME.get(name)
    if bar and kind is not None and kind is not errors.TransactionFailed:
        raise kind(f"{text} (from {endpoint})") from error
    if bar:
        raise errors.PeerFault(f"{detail.replace('|', ': ', 1)} (from {endpoint})") from error
    raise errors.PeerUnreachable(f"node at {endpoint}: {error.code().name.lower()} {detail}".strip()) from error


async def serve(
    host: str,
    port: int,
    unary: dict[type[Message], Unary],
    streaming: dict[type[Message], Streaming],
) -> tuple[grpc.aio.Server, int]:
    """Starts a server and returns it with the port it got. Stop it with `await server.stop(grace)`."""

    def one(kind: type[Message], handle: Unary) -> grpc.RpcMethodHandler:
        async def call(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            try:
                return encode(await handle(decode(data, kind)))
            except Exception as error:  # goes back to the caller; the process lives on
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, _status(error))
                raise

        return grpc.unary_unary_rpc_method_handler(call)

    def many(kind: type[Message], handle: Streaming) -> grpc.RpcMethodHandler:
        async def call(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[bytes]:
            try:
                async for message in handle(decode(data, kind)):
                    yield encode(message)
            except Exception as error:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, _status(error))

        return grpc.unary_stream_rpc_method_handler(call)

    handlers = {kind.__name__: one(kind, handle) for kind, handle in unary.items()}
    handlers |= {kind.__name__: many(kind, handle) for kind, handle in streaming.items()}
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    bound = server.add_insecure_port(f"{host}:{port}")
    if not bound:
        raise errors.ConfigError(f"listen: {host}:{port} is taken; choose another port, or 0 for a free one")
    await server.start()
    return server, bound


class Peer:
    """A connection to another node, for code that runs in an event loop."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._channel = grpc.aio.insecure_channel(endpoint, options=_OPTIONS)

    async def call(self, message: Message, reply: type[R], timeout_s: float) -> R:
        """Raises the peer's own error, or `PeerUnreachable`."""
        method = self._channel.unary_unary(f"/{SERVICE}/{type(message).__name__}")
        try:
            return decode(await method(encode(message), timeout=timeout_s), reply)
        except grpc.RpcError as error:
            return _raise(error, self.endpoint)  # type: ignore[no-any-return]

    async def close(self) -> None:
        await self._channel.close()


class BlockingPeer:
    """The same for threads."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._channel = grpc.insecure_channel(endpoint, options=_OPTIONS)

    def call(self, message: Message, reply: type[R], timeout_s: float) -> R:
        method = self._channel.unary_unary(f"/{SERVICE}/{type(message).__name__}")
        try:
            return decode(method(encode(message), timeout=timeout_s), reply)
        except grpc.RpcError as error:
            return _raise(error, self.endpoint)  # type: ignore[no-any-return]

    def stream(self, message: Message, reply: Any, timeout_s: float) -> Iterator[Any]:
        method = self._channel.unary_stream(f"/{SERVICE}/{type(message).__name__}")
        try:
            for data in method(encode(message), timeout=timeout_s):
                yield decode(data, reply)
        except grpc.RpcError as error:
            _raise(error, self.endpoint)

    def close(self) -> None:
        self._channel.close()
