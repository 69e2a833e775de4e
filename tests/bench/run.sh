#!/bin/sh
# Every benchmark, on a release build. They print numbers and judge nothing.
# usage: run.sh BUILD_DIRECTORY
set -eu
build=$1
here=$(cd "$(dirname "$0")" && pwd)
for program in "$build"/tests/bench/bench_*; do
	[ -x "$program" ] && [ -f "$program" ] && { echo "== ${program##*/}"; "$program"; }
done
echo "== startup"
"$here/startup.sh" "$build"
