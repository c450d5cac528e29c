#!/bin/sh
# Puts HAProxy in front of five servers, one after the other, and shows which of them it takes for
# dead while they work. Everything stays on the loopback interface and ends within minutes.
# Flags go to the example: ./run.sh --help lists them.
set -eu
cd "$(dirname "$0")/../.."

missing=
for command in haproxy wrk taskset; do
  command -v "$command" >/dev/null || missing="$missing $command"
done
if [ -n "$missing" ]; then
  echo "not found:$missing" >&2
  echo "On Debian and Ubuntu: apt-get install haproxy wrk util-linux" >&2
  exit 3
fi
exec cargo run --locked --quiet --release --example haproxy -- "$@"
