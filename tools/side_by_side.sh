#!/usr/bin/env bash
# Makes two targets at once: the first is shown as it goes, the second, which yields to it, when it is done. Much of the first waits.
#   tools/side_by_side.sh network contracts-test
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkdir -p build
log=build/$2.log
setsid nice -n 5 make --no-print-directory "$2" >"$log" 2>&1 &
second=$!
stop() {
  trap - EXIT INT TERM
  kill -- "-$second" 2>/dev/null || true
  wait
}
trap stop EXIT
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM

status=0
make --no-print-directory "$1" || status=$?
wait "$second" || status=$?
cat "$log"
exit "$status"
