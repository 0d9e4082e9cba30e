"""Where the contracts are: one JSON file a deployment."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ostraka.crypto.eip712 import Domain
from ostraka.errors import ConfigError
from ostraka.types import Address


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses by contract name, the chain they are on and the chain block they were made in."""

    chain_id: int
    block_number: int
    contracts: dict[str, str]

    def address(self, name: str) -> Address:
        try:
            return Address(self.contracts[name])
        except KeyError:
            raise ConfigError(f"deployment: has no {name}; it lists {', '.join(sorted(self.contracts))}") from None

    @property
    def market_domain(self) -> Domain:
        return Domain(self.chain_id, self.address("JobMarket"))

    @property
    def registry_domain(self) -> Domain:
        return Domain(self.chain_id, self.address("NodeRegistry"))

    @property
    def voucher_domain(self) -> Domain:
        return Domain(self.chain_id, self.address("PaymentVouchers"))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n")

    @staticmethod
    def load(path: Path) -> Deployment:
        """Raises `ConfigError` naming the file and the field."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=Deployment)
        except OSError as error:
            raise ConfigError(f"deployment file {path}: {error.strerror}; `ostraka chain deploy` writes one") from error
        except msgspec.MsgspecError as error:
            raise ConfigError(f"deployment file {path}: {error}") from error
