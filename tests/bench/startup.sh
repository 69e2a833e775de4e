#!/bin/sh
# What `moat run` costs on top of what the engine itself costs: medians of 20, side by side, taken in
# turn, in milliseconds. And the memory of an idle run.
# usage: startup.sh BUILD_DIRECTORY [ROUNDS]
set -eu
build=$(cd "$1" && pwd)
rounds=${2:-20}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/moat-bench.XXXXXX)
export MOAT_HOME="$work/home"
mkdir "$work/project"
docker=
finish() {
	[ -n "$docker" ] && "$here/../dockerd.sh" stop "$work/engine" >/dev/null
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

now() { date +%s%N; }
measure() { # name, command...
	name=$1
	shift
	begin=$(now)
	"$@" >/dev/null 2>&1 || { echo "startup: $* failed" >&2; exit 1; }
	end=$(now)
	echo "$(((end - begin) / 1000))" >>"$work/$name"
}
median() { sort -n "$work/$1" | awk '{ v[NR] = $1 } END { printf "%.1f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2000 }'; }
compare() { # label, plain, moat, limit
	plain=$(median "$2")
	ours=$(median "$3")
	echo "$1 $plain $ours $4" | awk '{ printf "%-12s %9s %9s %9.1f %9s\n", $1, $2, $3, $3 - $2, $4 }'
}

# The same root file system that moat gives it.
plain_bwrap() {
	bwrap --unshare-all --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin \
		--symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp true
}
moat_bwrap() { "$build/src/moat" run --runtime bubblewrap "$work/project" -- true; }

for _ in $(seq "$rounds"); do
	measure bwrap plain_bwrap
	measure moat-bwrap moat_bwrap
done
printf '%-12s %9s %9s %9s %9s   (ms, medians of %s)\n' engine plain moat added "at most" "$rounds"
compare bubblewrap bwrap moat-bwrap 25

if [ "$(id -u)" -eq 0 ] && "$here/../dockerd.sh" start "$work/engine" >/dev/null; then
	docker=1
	export DOCKER_HOST="unix://$work/engine/docker.sock"
	"$here/../dockerd.sh" image "$work/engine" bb:1 busybox >/dev/null
	echo 'image: bb:1' >"$work/project/agent.yaml"
	plain_docker() { docker run --rm --network none bb:1 /bin/true; }
	moat_docker() { "$build/src/moat" run --runtime docker "$work/project" -- /bin/true; }
	for _ in $(seq "$rounds"); do
		measure docker plain_docker
		measure moat-docker moat_docker
	done
	compare docker docker moat-docker 60
	rm "$work/project/agent.yaml"
fi

"$build/src/moat" run --runtime bubblewrap "$work/project" -- sleep 5 &
pid=$!
sleep 2
awk '/^(VmRSS|RssAnon|RssFile)/ { printf "%s %.1f MiB  ", $1, $2 / 1024 } END { print "(idle run; at most 12, of which anonymous 4)" }' \
	"/proc/$pid/status"
kill "$pid"
wait "$pid" || true
