#!/bin/sh
# Every test of a build, and their totals.
# usage: tests/run.sh BUILD_DIRECTORY
set -u
build=$1
here=$(cd "$(dirname "$0")" && pwd)
passed=0 failed=0 skipped=0

add() { # the line "N passed, N failed, N skipped"
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

meson test -C "$build" --no-rebuild --print-errorlogs
log=$build/meson-logs/testlog.txt
count() { sed -n "s/^$1: *\([0-9]*\).*/\1/p" "$log" | tail -n 1; }
add "$(($(count Ok) + 0))" "$(($(count Fail) + $(count Timeout) + $(count 'Unexpected Pass') + 0))" \
	"$(($(count Skipped) + 0))"
if [ -n "${CI:-}" ] && [ "$(($(count Skipped) + 0))" -gt 0 ]; then
	echo "skipped tests count as failed in CI"
	failed=$((failed + $(count Skipped)))
fi

"$here/e2e/run.sh" "$build" | tee "$build/e2e.txt"
# Where the totals are missing, something ended before its time: one failure.
totals=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$build/e2e.txt")
read -r ran bad gone <<EOF
${totals:-0 1 0}
EOF
add "$ran" "$bad" "$gone"

echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
