#!/bin/sh
# A private Docker engine for tests: its own socket, data and pid file below one directory, no
# network of its own, nothing of the host's configuration touched.
#
#   dockerd.sh start DIR               starts it and waits until it answers on DIR/docker.sock
#   dockerd.sh image DIR NAME busybox  imports an image of busybox alone, unless it is there
#   dockerd.sh image DIR NAME host     of this machine's packages: node, git, curl, python, a shell
#   dockerd.sh stop DIR                stops it, by its pid, and removes what it kept
#   dockerd.sh with NAME=KIND… -- COMMAND…
#                                      all of these around COMMAND, which finds DOCKER_HOST set; an
#                                      engine that MOAT_TEST_DOCKERD names (a DIR) is used and left
#
# Exits 77 where no engine can be started here, saying why; with CI=true that is a failure.
# DIR has to be short: unix sockets of up to 107 bytes are made below it.
set -eu

die() {
	echo "dockerd.sh: $*" >&2
	exit 1
}

skip() {
	if [ "${CI:-}" = true ]; then die "$* (a failure, because CI=true)"; fi
	echo "skipped: $*" >&2
	exit 77
}

api() { # METHOD PATH [curl's arguments]
	method=$1 path=$2
	shift 2
	curl --silent --show-error --fail-with-body --unix-socket "$dir/docker.sock" -X "$method" "$@" \
		"http://docker/v1.41$path"
}

check_machine() {
	[ "$(id -u)" = 0 ] || skip "a Docker engine can be started by root only"
	for program in dockerd containerd runc curl; do
		command -v "$program" >/dev/null ||
			skip "$program is not installed (apt-get install docker.io curl)"
	done
}

start() {
	check_machine
	[ ${#dir} -le 60 ] || die "$dir is too long a path for the engine's sockets"
	mkdir -p "$dir"
	setsid dockerd --host "unix://$dir/docker.sock" --data-root "$dir/data" \
		--exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" --group root \
		--bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
		>"$dir/dockerd.log" 2>&1 </dev/null &
	tries=0
	until api GET /_ping >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ $tries -gt 300 ]; then
			tail -n 5 "$dir/dockerd.log" >&2
			stop
			skip "dockerd does not come up on this machine"
		fi
		sleep 0.1
	done
}

# The pids of the processes that were started with a path below our directory, which is nobody
# else's: the engine, its containerd, and a shim for each container.
ours() { # WORD: what else the command line holds
	for process in /proc/[0-9]*; do
		line=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline") 2>/dev/null || continue
		case $line in
		*"$1"*"$dir/"*) echo "${process#/proc/}" ;;
		esac
	done
}

wait_for_end() { # PIDS
	tries=0
	for pid in $1; do
		while [ -d "/proc/$pid" ] && [ $tries -lt 150 ]; do
			tries=$((tries + 1))
			sleep 0.1
		done
	done
}

stop() {
	engine=$(ours 'dockerd --host')
	for pid in $engine; do kill "$pid" || :; done
	wait_for_end "$engine"
	# A test may have killed the engine, and then nobody else ends these.
	rest=$(ours 'dockerd --host' && ours containerd)
	for pid in $rest; do kill -KILL "$pid" 2>/dev/null || :; done
	awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
		while read -r mounted; do umount -l "$mounted" || :; done
	rm -rf "$dir/data" "$dir/exec" "$dir/docker.sock" "$dir/dockerd.pid" "$dir/dockerd.log"
	rm -rf "$dir"/tree.* "$dir/image.tar" "$dir/files"
	rmdir "$dir" 2>/dev/null || :
}

busybox_tree() {
	busybox=$(command -v busybox) || skip "busybox is not installed (apt-get install busybox-static)"
	tree=$(mktemp -d "$dir/tree.XXXXXX")
	mkdir -p "$tree/bin" "$tree/tmp" "$tree/etc" "$tree/root"
	cp "$busybox" "$tree/bin/busybox"
	"$busybox" --list | while read -r name; do
		[ "$name" = busybox ] || ln -s busybox "$tree/bin/$name"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
	echo 'root:x:0:' >"$tree/etc/group"
	tar -C "$tree" -c .
	rm -rf "$tree"
}

# The files of some packages and of all that they depend on, as dpkg knows them, below a merged /usr.
host_tree() {
	[ -L /bin ] || skip "the image of this machine's own programs wants a merged /usr"
	{
		printf '%s\n' ./bin ./sbin ./lib ./lib64 ./etc/ssl/certs/ca-certificates.crt \
			./etc/ssl/certs/java/cacerts \
			./etc/ld.so.cache ./etc/passwd ./etc/group ./etc/nsswitch.conf ./tmp ./var/tmp ./root
		apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts \
			--no-breaks --no-replaces --no-enhances bash dash coreutils grep sed findutils git curl \
			python3 python3-grpcio python3-websockets nodejs node-ws nghttp2-client redis-tools \
			base-files netbase mawk procps util-linux tar gzip busybox-static openssh-client \
			tmux vim-tiny ncurses-base libc-bin 2>/dev/null |
			grep '^[a-z0-9]' | sort -u | xargs dpkg-query -L 2>/dev/null |
			grep -E '^/(usr|bin|sbin|lib[0-9x]*|etc/alternatives)/' |
			grep -vE '^/usr/share/(doc|man|locale|info|lintian)/' |
			sed -E 's,^/(bin|sbin|lib[0-9x]*)/,/usr/\1/,' | sort -u |
			while read -r path; do
				if [ -f "$path" ] || [ -L "$path" ]; then echo ".$path"; fi
			done
		find /etc/alternatives -type l -printf '.%p\n'
	} >"$dir/files"
	tar -C / --no-recursion -c -T "$dir/files"
	rm -f "$dir/files"
}

image() { # NAME KIND
	name=$1 kind=$2
	if api GET "/images/$name/json" >/dev/null 2>&1; then return 0; fi
	case $kind in
	busybox | host) ;;
	*) die "unknown kind of image: $kind" ;;
	esac
	"${kind}_tree" >"$dir/image.tar"
	answer=$(api POST "/images/create?fromSrc=-&repo=${name%:*}&tag=${name##*:}" \
		-H 'Content-Type: application/x-tar' -H 'Expect:' -T "$dir/image.tar" 2>&1) ||
		die "the image $name could not be imported: $answer"
	rm -f "$dir/image.tar"
	api GET "/images/$name/json" >/dev/null || die "the image $name was not imported"
}

with() {
	if [ -n "${MOAT_TEST_DOCKERD:-}" ]; then
		dir=$MOAT_TEST_DOCKERD
	else
		check_machine
		dir=$(mktemp -d /tmp/moatd.XXXXXX)
		trap 'stop' EXIT
		trap 'exit 130' INT TERM
		start
	fi
	while [ "$1" != -- ]; do
		image "${1%=*}" "${1##*=}"
		shift
	done
	shift
	status=0
	DOCKER_HOST="unix://$dir/docker.sock" "$@" || status=$?
	exit $status
}

[ $# -ge 2 ] || die "usage: dockerd.sh start|image|stop DIR …, or dockerd.sh with NAME=KIND… -- COMMAND…"
verb=$1
shift
case $verb in
start | stop)
	dir=$1
	"$verb"
	;;
image)
	dir=$1
	image "$2" "$3"
	;;
with) with "$@" ;;
*) die "unknown: $verb" ;;
esac
