#!/bin/sh
# Installs what is missing on Debian 12, with apt: as root, or by sudo.
# usage: debian.sh PURPOSE...     of: build, run, demo, test, docker, lint
set -eu

packages_for() {
	case $1 in
	build)
		echo g++ meson ninja-build pkg-config musl-tools linux-libc-dev libevent-dev \
			libmbedtls-dev libyaml-dev libcjson-dev libcurl4-openssl-dev liblmdb-dev libcmocka-dev \
			libnghttp2-dev libc-ares-dev libssl-dev zlib1g-dev libbrotli-dev
		;;
	run) echo bubblewrap ca-certificates ;;
	demo) echo curl openssl python3-minimal libpython3-stdlib ;;
	test) echo curl openssl gnutls-bin libnss3-tools python3 git mandoc busybox-static util-linux tcpdump iproute2 procps nodejs npm \
		openjdk-17-jdk-headless redis-tools tinyproxy-bin nginx-light python3-grpcio \
		python3-h2 python3-websockets node-ws nghttp2-client tmux vim-tiny awscli python3-boto3 \
		openssh-client openssh-server gnome-keyring libsecret-tools dbus-x11 python3-venv \
		gh python3-pip skopeo twine ;;
	docker) echo docker.io iptables ;;
	lint) echo clang clang-format clang-tidy libclang-rt-14-dev lld mandoc shellcheck ;;
	*)
		echo "debian.sh: no such purpose: $1" >&2
		exit 2
		;;
	esac
}

missing=
for purpose in "$@"; do
	for package in $(packages_for "$purpose"); do
		# A command that is there by other means (node from elsewhere) is as good.
		[ "$package" = nodejs ] && command -v node >/dev/null 2>&1 && continue
		[ "$package" = npm ] && command -v npm >/dev/null 2>&1 && continue
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
			missing="$missing $package"
	done
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "moat: these packages are missing, and there is no apt-get here:$missing" >&2
	exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "moat: these packages are missing; install them as root:$missing" >&2
		exit 1
	}
	as_root=sudo
fi
echo "installing:$missing"
# Installed packages must not start services of theirs (docker.io would start an engine, nginx would
# listen on port 80, openssh-server on 22).
if [ ! -e /usr/sbin/policy-rc.d ] &&
	case $missing in *docker.io* | *nginx* | *openssh-server*) true ;; *) false ;; esac; then
	printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
	$as_root chmod 755 /usr/sbin/policy-rc.d
	trap '$as_root rm -f /usr/sbin/policy-rc.d' EXIT
fi
log=$(mktemp)
for try in 1 2 3; do
	if $as_root apt-get update -q >"$log" 2>&1 &&
		$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
			--no-install-recommends $missing >>"$log" 2>&1; then
		rm -f "$log"
		exit 0
	fi
	[ "$try" -eq 3 ] || sleep 5
done
tail -n 20 "$log" >&2
rm -f "$log"
echo "moat: apt could not install:$missing" >&2
exit 1
