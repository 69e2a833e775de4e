#!/bin/sh
# Tunnels in which nothing moves: what each costs, and that all still serve.
# usage: idle.sh BUILD_DIRECTORY [TUNNELS]     10,000 unless told
set -u
build=$1
MOAT_TUNNELS=${2:-10000}
MOAT_E2E=bubblewrap
export MOAT_TUNNELS MOAT_E2E
exec "$(dirname "$0")/../e2e/run.sh" "$build" idle
