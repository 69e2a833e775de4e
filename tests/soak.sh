#!/bin/sh
# Mixed traffic through `moat proxy` on loopback, with random disconnects on both sides: memory stays
# flat, no descriptor leaks, every request is answered once with its own body, the record verifies.
# usage: soak.sh BUILD_DIRECTORY [SECONDS]     1800 s unless told; MOAT_SOAK_SEED is another course
set -u
build=$1
MOAT_SOAK=${2:-1800}
MOAT_E2E=bubblewrap
export MOAT_SOAK MOAT_E2E
exec "$(dirname "$0")/e2e/run.sh" "$build" soak
