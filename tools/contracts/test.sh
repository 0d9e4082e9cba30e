#!/usr/bin/env bash
# Runs the contract tests with Brownie on a Ganache of their own.
#   tools/contracts/test.sh                    all tests
#   tools/contracts/test.sh --gas              measure gas, write contracts/gas-snapshot.json
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
ganache_pid=
brownie_pid=
cleanup() {
  trap - EXIT INT TERM
  for pid in $brownie_pid $ganache_pid; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$home"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Each chain block is one second younger than the next, whatever the clock says: deadlines are tested to the second.
node node_modules/.bin/ganache --chain.hardfork shanghai --chain.chainId 1337 --server.host 127.0.0.1 --server.port "$port" \
  --wallet.deterministic --wallet.totalAccounts 24 --wallet.defaultBalance 100000 --miner.timestampIncrement 1 \
  --chain.vmErrorsOnRPCResponse true >"$home/ganache.log" 2>&1 &
ganache_pid=$!

mkdir -p "$home/.brownie" "$home/.solcx" build/brownie
ln -s "$root/tools/contracts/solc" "$home/.solcx/solc-v0.8.28"
cat >"$home/.brownie/network-config.yaml" <<EOF
live: []
development:
  - name: The test's own Ganache
    id: ganache
    cmd: ganache
    host: http://127.0.0.1
    timeout: 120
    cmd_settings: {port: $port}
EOF

for _ in $(seq 150); do
  grep -q 'RPC Listening' "$home/ganache.log" && break
  kill -0 "$ganache_pid" 2>/dev/null || { say "Ganache did not start:"; cat "$home/ganache.log" >&2; exit 1; }
  sleep 0.2
done

arguments=("$@")
if [ "${1:-}" = --gas ]; then
  export OSTRAKA_WRITE_GAS=1
  arguments=(tests/contracts/test_gas.py "${@:2}")
fi
case "${arguments[0]:-}" in tests/contracts*) ;; *) arguments=(tests/contracts "${arguments[@]}") ;; esac

status=0
HOME="$home" SOLCX_BINARY_PATH="$home/.solcx" PATH="$root/node_modules/.bin:$PATH" PYTHONDONTWRITEBYTECODE=1 \
  "$venv/bin/brownie" test "${arguments[@]}" --network ganache &
brownie_pid=$!
wait "$brownie_pid" || status=$?
brownie_pid=
exit "$status"
