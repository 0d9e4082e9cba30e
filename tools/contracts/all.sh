#!/usr/bin/env bash
# All contract tests, in two halves side by side, each on a chain of its own; then whether they reached every custom error.
#   tools/contracts/all.sh              on Ganache
#   tools/contracts/all.sh --anvil      on Anvil
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
chain=("$@")

# About as long as the rest together.
first=(adjudicator sortition epochs epoch_orders random_epochs possession inbox oracle treasury vouchers)
first=("${first[@]/#/tests/contracts/test_}")
first=("${first[@]/%/.py}")
last=tests/contracts/test_zz_every_error.py
rest=()
for file in tests/contracts/test_*.py; do
  case " ${first[*]} $last " in *" $file "*) ;; *) rest+=("$file") ;; esac
done

mkdir -p build
OSTRAKA_REACHED=$(mktemp -d build/reached.XXXXXX)
export OSTRAKA_REACHED
half=
cleanup() {
  trap - EXIT INT TERM
  if [ -n "$half" ]; then kill "$half" 2>/dev/null || true; fi
  wait
  rm -rf "$OSTRAKA_REACHED"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

# Twice: the second load throws away what it finds unneeded of the first compilation. Else both halves would, at once.
bash tools/contracts/test.sh --compile
bash tools/contracts/test.sh --compile >/dev/null
log="$OSTRAKA_REACHED/first-half.log"
bash tools/contracts/test.sh "${chain[@]}" "${first[@]}" -q >"$log" 2>&1 &
half=$!
status=0
bash tools/contracts/test.sh "${chain[@]}" "${rest[@]}" -q || status=$?
wait "$half" || status=$?
half=
cat "$log"
[ "$status" = 0 ] || exit "$status"
bash tools/contracts/test.sh "${chain[@]}" "$last" -q
