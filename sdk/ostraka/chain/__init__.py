"""The chain as Python sees it: addresses, typed calls, decoded events, transactions that either succeed or say why."""

from ostraka.chain.court import Court
from ostraka.chain.deployment import Deployment
from ostraka.chain.events import Event
from ostraka.chain.logs import decode_logs
from ostraka.chain.market import Market
from ostraka.chain.rpc import connect
from ostraka.chain.transactions import Sender

__all__ = ["Court", "Deployment", "Event", "Market", "Sender", "connect", "decode_logs"]
