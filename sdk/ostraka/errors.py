"""Every error Ostraka raises on purpose, split by whose fault it is.

::

    OstrakaError
    ├── UsageError                  the caller asked for something that cannot be (exit code 2)
    │   ├── ConfigError             a setting is missing or out of range
    │   ├── UnknownModel            no such model on this market
    │   ├── UnknownJob              no such job on this market
    │   ├── PromptTooLong           prompt and answer do not fit the model's context
    │   ├── PriceCapTooLow          the job may cost more than the requester allows
    │   ├── StakeTooLow             the node stakes less than the model demands
    │   └── InsufficientFunds       the account holds fewer tokens than the call moves
    ├── Unavailable                 something we depend on is away; try again (exit code 1)
    │   ├── ChainUnreachable
    │   ├── OrchestratorUnreachable
    │   ├── PeerUnreachable         another node of the route does not answer
    │   ├── StoreUnavailable        the content store cannot be read
    │   └── NoRoute                 the nodes that serve cannot form enough disjoint routes
    ├── PeerFault                   somebody sent us something wrong (exit code 1)
    │   ├── HashMismatch            bytes are not what their hash or CID says
    │   ├── BadFrame                a malformed, oversized or unexpected message
    │   ├── BadSignature            a signature is not by whom it must be
    │   └── TraceMismatch           a stage's digests contradict what was received
    ├── ModelError                  a model cannot be served
    │   ├── BadManifest
    │   ├── UnsupportedModel
    │   ├── ShapeMismatch
    │   ├── ContextTooLong          a session would outgrow its cache
    │   └── NonFiniteActivation     NaN or infinity: nothing may be hashed
    ├── TransactionFailed           the chain refused a transaction; carries the contract's error by name
    └── JobFailed                   a job ended without a result; the escrow is refunded

Messages name the field, the value and the remedy. The command line prints them as one line.
"""

from __future__ import annotations


class OstrakaError(Exception):
    """The root. `exit_code` is what the command line returns for it."""

    exit_code = 1


class UsageError(OstrakaError):
    exit_code = 2


class ConfigError(UsageError):
    pass


class UnknownModel(UsageError):
    pass


class UnknownJob(UsageError):
    pass


class PromptTooLong(UsageError):
    pass


class PriceCapTooLow(UsageError):
    pass


class StakeTooLow(UsageError):
    pass


class InsufficientFunds(UsageError):
    pass


class Unavailable(OstrakaError):
    pass


class ChainUnreachable(Unavailable):
    pass


class OrchestratorUnreachable(Unavailable):
    pass


class PeerUnreachable(Unavailable):
    pass


class StoreUnavailable(Unavailable):
    pass


class NoRoute(Unavailable):
    pass


class PeerFault(OstrakaError):
    pass


class HashMismatch(PeerFault):
    pass


class BadFrame(PeerFault):
    pass


class BadSignature(PeerFault):
    pass


class TraceMismatch(PeerFault):
    pass


class ModelError(OstrakaError):
    pass


class BadManifest(ModelError):
    pass


class UnsupportedModel(ModelError):
    pass


class ShapeMismatch(ModelError):
    pass


class ContextTooLong(ModelError):
    pass


class NonFiniteActivation(ModelError):
    pass


class TransactionFailed(OstrakaError):
    """`error` is the custom error's name where the contract gave one, `args_` its decoded arguments."""

    def __init__(self, message: str, error: str | None = None, args_: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.error = error
        self.args_ = args_


class JobFailed(OstrakaError):
    pass
