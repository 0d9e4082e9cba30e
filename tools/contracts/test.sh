#!/usr/bin/env bash
# Runs the contract tests with Brownie on a test chain of their own, Ganache or Anvil.
#   tools/contracts/test.sh                    all tests, on Ganache
#   tools/contracts/test.sh --anvil            all tests, on Anvil; a path and options may follow
#   tools/contracts/test.sh --gas              measure gas, write contracts/gas-snapshot.json
#   tools/contracts/test.sh --compile          only compile
#   tools/contracts/test.sh tests/contracts/test_vault.py -x     a path, and options of pytest
# Needs `npm ci`, and .venv-contracts from tests/contracts/requirements.txt (made here where it is missing).
# Writes nothing outside the repository: Brownie's home is a folder in .venv-contracts for the time of the run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
venv="$root/.venv-contracts"

say() { printf 'contracts: %s\n' "$*" >&2; }

command -v node >/dev/null || { say "node is not on PATH; install Node.js 18 or later"; exit 2; }
[ -x node_modules/.bin/ganache ] || { say "npm packages are missing; run \`npm ci\`"; exit 2; }
if [ ! -x "$venv/bin/brownie" ]; then
  say "making $(basename "$venv") ..."
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check \
    --constraint tests/contracts/constraints.txt --requirement tests/contracts/requirements.txt
fi

home=$(mktemp -d "$venv/run.XXXXXX")
chain_pid=
brownie_pid=
cleanup() {
  trap - EXIT INT TERM
  for pid in $brownie_pid $chain_pid; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$home"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

mkdir -p "$home/.brownie" "$home/.solcx" build/brownie
ln -s "$root/tools/contracts/solc" "$home/.solcx/solc-v0.8.28"
brownie() { HOME="$home" SOLCX_BINARY_PATH="$home/.solcx" PATH="$root/node_modules/.bin:$PATH" PYTHONDONTWRITEBYTECODE=1 \
  "$venv/bin/brownie" "$@"; }
if [ "${1:-}" = --compile ]; then brownie compile; exit; fi

port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Each chain block is one second younger than the next, whatever the clock says: deadlines are tested to the second.
chain=ganache
if [ "${1:-}" = --anvil ]; then chain=anvil; shift; fi
if [ "$chain" = ganache ]; then
  node node_modules/.bin/ganache --chain.hardfork shanghai --chain.chainId 1337 --server.host 127.0.0.1 --server.port "$port" \
    --wallet.deterministic --wallet.totalAccounts 24 --wallet.defaultBalance 100000 --miner.timestampIncrement 1 \
    --chain.vmErrorsOnRPCResponse true >"$home/chain.log" 2>&1 &
else
  anvil=$(echo node_modules/@foundry-rs/anvil-*/bin/anvil)
  [ -x "$anvil" ] || { say "Anvil is not installed; npm has it for Linux on amd64 only"; exit 2; }
  "$anvil" --hardfork shanghai --chain-id 1337 --host 127.0.0.1 --port "$port" --accounts 24 --balance 100000 --steps-tracing \
    --mnemonic 'myth like bonus scare over problem client lizard pioneer submit female collect' >"$home/chain.log" 2>&1 &
fi
chain_pid=$!

cat >"$home/.brownie/network-config.yaml" <<EOF
live: []
development:
  - name: The test's own chain
    id: own
    cmd: $chain
    host: http://127.0.0.1
    timeout: 120
    cmd_settings: {port: $port}
EOF

listening=
for _ in $(seq 300); do
  if grep -qE 'RPC Listening|Listening on' "$home/chain.log"; then listening=yes; break; fi
  kill -0 "$chain_pid" 2>/dev/null || { say "$chain did not start:"; cat "$home/chain.log" >&2; exit 1; }
  sleep 0.2
done
[ -n "$listening" ] || { say "$chain does not listen after a minute:"; cat "$home/chain.log" >&2; exit 1; }
if [ "$chain" = anvil ]; then
  "$venv/bin/python" - "$port" <<'EOS'
import sys, urllib.request
body = b'{"jsonrpc":"2.0","id":1,"method":"anvil_setBlockTimestampInterval","params":[1]}'
request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}", body, {"Content-Type": "application/json"})
urllib.request.urlopen(request).read()
EOS
fi

arguments=("$@")
if [ "${1:-}" = --gas ]; then
  export OSTRAKA_WRITE_GAS=1
  arguments=(tests/contracts/test_gas.py "${@:2}")
fi
case "${arguments[0]:-}" in tests/contracts*) ;; *) arguments=(tests/contracts "${arguments[@]}") ;; esac

status=0
brownie test "${arguments[@]}" --network own &
brownie_pid=$!
wait "$brownie_pid" || status=$?
brownie_pid=
exit "$status"
