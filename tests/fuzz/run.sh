#!/bin/sh
# Runs each fuzz target of a build for so many seconds, on a copy of its seeds: run.sh BUILD SECONDS
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

status=0
count=0
for target in "$build"/tests/fuzz/fuzz_*; do
	[ -f "$target" ] && [ -x "$target" ] || continue
	name=${target##*/fuzz_}
	count=$((count + 1))
	mkdir -p "$work/$name"
	[ ! -d "$here/corpus/$name" ] || cp -R "$here/corpus/$name/." "$work/$name/"
	dictionary=$here/$name.dict
	set -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
		-print_final_stats=0 -verbosity=0 -artifact_prefix="$found/$name-"
	[ ! -f "$dictionary" ] || set -- "$@" -dict="$dictionary"
	if "$target" "$@" "$work/$name" >"$work/$name.log" 2>&1; then
		echo "ok     $name: $(find "$work/$name" -type f | wc -l) inputs kept"
	else
		echo "FAILED $name"
		tail -n 60 "$work/$name.log"
		status=1
	fi
done
if [ "$count" -eq 0 ]; then
	echo "no fuzz targets in $build: configure it with -Dfuzz=true" >&2
	exit 2
fi
exit $status
