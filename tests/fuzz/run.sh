#!/bin/sh
# Runs each fuzz target of a build for so many seconds, on a copy of its seeds: run.sh BUILD SECONDS
# FUZZ_SEED makes it walk the same way each time; without it, it looks for something new.
# Fails when one of them finds a crash, a leak or a hang; what it found is left in BUILD/fuzz-found.
set -u
if [ $# -ne 2 ]; then
	echo "usage: run.sh BUILD_DIR SECONDS" >&2
	exit 2
fi
build=$(cd "$1" && pwd) || exit 2
seconds=$2
here=$(cd "$(dirname "$0")" && pwd)
found=$build/fuzz-found
mkdir -p "$found"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

fuzz_one() { # TARGET NAME
	mkdir -p "$work/$2"
	[ ! -d "$here/corpus/$2" ] || cp -R "$here/corpus/$2/." "$work/$2/"
	if "$1" -max_total_time="$seconds" -seed="${FUZZ_SEED:-0}" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
		-print_final_stats=0 -verbosity=0 -artifact_prefix="$found/$2-" \
		"$work/$2" >"$work/$2.log" 2>&1; then
		echo "ok     $2: $(find "$work/$2" -type f | wc -l) inputs kept"
	else
		echo "FAILED $2"
		tail -n 60 "$work/$2.log"
		: >"$work/failed"
	fi
}

# One for each processor at a time: they all take as long.
count=0
for target in "$build"/tests/fuzz/fuzz_*; do
	[ -f "$target" ] && [ -x "$target" ] || continue
	count=$((count + 1))
	fuzz_one "$target" "${target##*/fuzz_}" &
	[ $((count % $(nproc))) -ne 0 ] || wait
done
wait
if [ "$count" -eq 0 ]; then
	echo "no fuzz targets in $build: configure it with -Dfuzz=true" >&2
	exit 2
fi
[ ! -e "$work/failed" ]
