#!/bin/sh
# `moat proxy` beside other TLS-intercepting proxies, in one run, recording on: the harness measures,
# this starts moat as it wants to be started.
# usage: BENCH=HARNESS_DIRECTORY side-by-side.sh BUILD_DIRECTORY [PEER or option of the harness ...]
#
# PORT and BENCH_TMP (a directory that is kept: the harness's keys and files are in it) may be set.
# What is measured has to be a release build: meson setup -Doptimization=2 BUILD_DIRECTORY
set -eu
if [ $# -eq 0 ] || [ -z "${BENCH:-}" ]; then
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
fi
moat=$(cd "$1" && pwd)/src/moat
shift
[ -x "$moat" ] || { echo "side-by-side: there is no $moat; build it" >&2; exit 1; }
port=${PORT:-18480}
BENCH_TMP=${BENCH_TMP:-/tmp/moat-side-by-side}
export BENCH_TMP
origin_port=${ORIGIN_PORT:-18443}
work=$BENCH_TMP/moat
mkdir -p "$work"
bash "$BENCH/origin/pki.sh" "$BENCH_TMP/pki"

echo injected-token >"$work/token"
cat >"$work/policy.yaml" <<END
network:
  policy: strict
  rules:
    - localhost:$origin_port local
  upstream_ca: $BENCH_TMP/pki/origin-ca.crt
END
# A shell of its own reads this: no path here may hold a blank or a quote.
command="env MOAT_HOME=$work/home $moat proxy --listen 127.0.0.1:$port --ca-out $work/ca.pem \
--policy $work/policy.yaml --header 'localhost=Authorization: Bearer file://$work/token'"

# What it did last time is not what is measured.
rm -rf "${work:?}/home" "$work/ca.pem"
size=$(du -k "$moat" | cut -f 1)
[ $# -gt 0 ] || set -- squid-bump go-stdlib
exec bash "$BENCH/bench.sh" --name moat --proxy "127.0.0.1:$port" --ca "$work/ca.pem" \
	--cmd "$command" --size "$size" "$@"
