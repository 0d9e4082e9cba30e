"""A heartbeat for a chain that mines on demand: an empty chain block for every second without one.

python -m ostraka.devnet.clock --url http://127.0.0.1:8545
"""

from __future__ import annotations

import argparse
import time

from ostraka.chain.rpc import connect
from ostraka.errors import ChainUnreachable

POLL_S = 0.25


def run(url: str) -> None:
    """Until it is ended. A chain that is away is waited for: it may be starting again."""
    web3 = connect(url)
    while True:
        time.sleep(POLL_S)
        try:
            if web3.eth.get_block("latest")["timestamp"] < int(time.time()):
                web3.provider.make_request("evm_mine", [])  # type: ignore[arg-type]
        except (ChainUnreachable, OSError, ValueError):
            continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    run(parser.parse_args().url)


if __name__ == "__main__":
    main()
