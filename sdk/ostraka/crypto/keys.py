"""Keys on disk: an encrypted keystore (V3), or a plain hex file for networks on one machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account

from ostraka.errors import ConfigError
from ostraka.types import Address


@dataclass(frozen=True)
class Key:
    """A private key. Its repr shows the address only: keys must not reach a log."""

    secret: bytes

    @property
    def address(self) -> Address:
        return Address(Account.from_key(self.secret).address)

    def __repr__(self) -> str:
        return f"Key({self.address})"


def new_key() -> Key:
    return Key(os.urandom(32))


def derive_key(mnemonic: str, index: int) -> Key:
    """BIP-44 account `index` of a mnemonic, as Ganache and Anvil derive their accounts."""
    Account.enable_unaudited_hdwallet_features()
    return Key(bytes(Account.from_mnemonic(mnemonic, account_path=f"m/44'/60'/0'/0/{index}").key))


def save_key(key: Key, path: Path, password: str | None = None) -> None:
    """Writes a keystore file, or plain hex when `password` is None. Readable by its owner only."""
    text = json.dumps(Account.encrypt(key.secret, password)) if password is not None else "0x" + key.secret.hex()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(text)


def load_key(path: Path, password: str | None = None) -> Key:
    """Raises `ConfigError` naming the file and what is wrong with it."""
    try:
        text = path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"key file {path}: {error.strerror}; make one with `ostraka wallet new {path}`") from error
    try:
        if text.startswith("{"):
            if password is None:
                raise ConfigError(f"key file {path} is encrypted; set OSTRAKA_PASSWORD")
            return Key(bytes(Account.decrypt(text, password)))
        secret = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise ConfigError(f"key file {path}: {error}; want a V3 keystore or 64 hex digits") from error
    if len(secret) != 32:
        raise ConfigError(f"key file {path}: want 32 bytes, got {len(secret)}")
    return Key(secret)
