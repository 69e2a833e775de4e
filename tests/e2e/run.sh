#!/bin/sh
# Runs the end-to-end suites against a build, and says what passed.
# usage: run.sh BUILD_DIRECTORY [SUITE...]
#
# As root: bubblewrap as root, bubblewrap as an ordinary user, Docker on an engine of its own.
# As anybody else: bubblewrap as they are, and the rest is skipped, loudly. With CI set, a skip is
# a failure. MOAT_E2E narrows it down, to words of these: docker bubblewrap bubblewrap-user.
set -u
build=$(cd "$1" && pwd)
shift
here=$(cd "$(dirname "$0")" && pwd)

# Half of them beside the other half, for they mostly wait. What runs in the background ignores
# Ctrl-C, and so would all that it starts; env undoes that.
if [ "$(id -u)" -eq 0 ] && [ -z "${MOAT_E2E:-}" ]; then
	both=$(mktemp -d)
	trap 'rm -rf "$both"' EXIT
	trap 'exit 130' INT TERM
	MOAT_E2E="bubblewrap-user docker" env --default-signal=INT,QUIT "$here/run.sh" "$build" "$@" \
		>"$both/second" 2>&1 &
	MOAT_E2E=bubblewrap "$here/run.sh" "$build" "$@" 2>&1 | tee "$both/first" | grep --line-buffered -v ' skipped$'
	wait
	grep -v ' skipped$' "$both/second"
	totals=$(cat "$both/first" "$both/second" |
		sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
	# Where a half has no totals, it ended before its time: one failure.
	echo "$totals" | awk '{ p += $1; f += $2; s += $3 }
		END { f += 2 - NR; print p " passed, " f " failed, " s " skipped"; exit (f > 0) }'
	exit
fi

# Where an unprivileged user gets at it too, and with a short name for sockets.
work=$(mktemp -d /tmp/moat-e2e.XXXXXX)
chmod 755 "$work"
mkdir "$work/bin" && cp "$build/src/moat" "$work/bin/"
cp "$(find "$build/src" -name moat-init -type f | head -n 1)" "$work/bin/"
chmod -R a+rX "$work/bin"
export MOAT_AGENTS="$build/agents" # what test_agents.py installs, and finds there the next time
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

suites=${*:-agents anchors aws clients http2 escape secrets record lifecycle audit errors grant oauth vault
	refresh providers registries proxy_command terminal trace tcp ssh upstream http_versions websockets
	streams idle durability}
run_all() { # label
	for suite in $suites; do
		case $suite in
		aws | registries) [ "$1" = bubblewrap ] || continue ;; # the proxy's business; their tools are not in the image
		http2 | http_versions | websockets) [ "$1" != bubblewrap-user ] || continue ;; # the same for all
		agents | anchors | audit | grant | oauth | vault | refresh | proxy_command | trace | upstream | streams | idle | durability | soak) [ "$1" = bubblewrap ] || continue ;; # know no engine
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
wanted() {
	case " ${MOAT_E2E:-$1} " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

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
