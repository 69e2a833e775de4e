#!/bin/sh
# Runs the end-to-end suites against a build, and says what passed.
# usage: run.sh BUILD_DIRECTORY [SUITE...]
#
# As root: bubblewrap as root, bubblewrap as an ordinary user, Docker on an engine of its own.
# As anybody else: bubblewrap as they are, and the rest is skipped, loudly. With CI set, a skip is
# a failure. MOAT_E2E narrows it down: "docker", "bubblewrap", "bubblewrap-user".
set -u
build=$(cd "$1" && pwd)
shift
here=$(cd "$(dirname "$0")" && pwd)
# Where an unprivileged user gets at it too, and with a short name for sockets.
work=$(mktemp -d /tmp/moat-e2e.XXXXXX)
chmod 755 "$work"
mkdir "$work/bin" && cp "$build/src/moat" "$work/bin/"
cp "$(find "$build/src" -name moat-init -type f | head -n 1)" "$work/bin/"
chmod -R a+rX "$work/bin"
export MOAT_BIN="$work/bin" MOAT_TEST_TMP="$work" PYTHONDONTWRITEBYTECODE=1
passed=0 failed=0 skipped=0
docker_started=

finish() {
	[ -n "$docker_started" ] && "$here/../dockerd.sh" stop "$work/docker"
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

skip() {
	echo "skipped: $*"
	skipped=$((skipped + 1))
	if [ -n "${CI:-}" ]; then failed=$((failed + 1)); fi
}

suites=${*:-anchors aws clients http2 escape secrets record lifecycle audit errors grant vault refresh providers proxy_command trace tcp ssh upstream http_versions websockets streams idle durability}
run_all() { # label
	for suite in $suites; do
		case $suite in
		aws) [ "$1" != docker ] || continue ;; # its tools are not in the image
		anchors | audit | grant | vault | refresh | proxy_command | trace | upstream | streams | idle | durability | soak) [ "$1" = bubblewrap ] || continue ;; # know no engine
		esac
		echo "== $1: $suite"
		(cd "$here" && /usr/bin/python3 "test_$suite.py" 2>&1) >"$work/out"
		status=$?
		cat "$work/out"
		ran=$(sed -n 's/^Ran \([0-9]*\) test.*/\1/p' "$work/out" | tail -n 1)
		bad=$(grep -cE '^(FAIL|ERROR): ' "$work/out")
		gone=$(grep -c '\.\.\. skipped' "$work/out")
		[ "$status" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
		passed=$((passed + ${ran:-0} - bad - gone))
		failed=$((failed + bad))
		skipped=$((skipped + gone))
		if [ -n "${CI:-}" ]; then failed=$((failed + gone)); fi
	done
}
wanted() { [ -z "${MOAT_E2E:-}" ] || [ "$MOAT_E2E" = "$1" ]; }

if wanted bubblewrap; then
	MOAT_ENGINE=bubblewrap MOAT_UID=$(id -u) run_all bubblewrap
fi
if [ "$(id -u)" -eq 0 ]; then
	if wanted bubblewrap-user; then
		MOAT_ENGINE=bubblewrap MOAT_UID=61234 run_all bubblewrap-user
	fi
	if wanted docker; then
		if "$here/../dockerd.sh" start "$work/docker"; then
			docker_started=1
			export DOCKER_HOST="unix://$work/docker/docker.sock"
			"$here/../dockerd.sh" image "$work/docker" bb:1 busybox &&
				"$here/../dockerd.sh" image "$work/docker" moat-test:host host &&
				"$here/../dockerd.sh" image "$work/docker" node:20 host || failed=$((failed + 1))
			MOAT_ENGINE=docker MOAT_UID=0 run_all docker
		else
			skip "Docker: no engine can be started here"
		fi
	fi
else
	skip "Docker and bubblewrap-as-root: they need root"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
