#!/bin/sh
# The main job, shown and checked: a sealed run with an injected credential, on the embedded engine.
# usage: demo.sh BUILD_DIRECTORY
#
# An origin on loopback stands for api.github.com; its log, outside of the sandbox, is the witness.
# Each claim is checked, and the exit status is 1 if one is false. Nothing is left behind.
set -u
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
tests=$here/../../tests/e2e
work=$(mktemp -d /tmp/moat-demo.XXXXXX)
export MOAT_HOME="$work/home" PYTHONDONTWRITEBYTECODE=1
unset GITHUB_TOKEN GH_TOKEN
moat() { "$build/src/moat" "$@"; }
origin_pid=

finish() {
	if [ -n "$origin_pid" ]; then
		exec 9>&- # its standard input ends, and so does it
		wait "$origin_pid" 2>/dev/null
	fi
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

die() {
	echo "demo: $*" >&2
	exit 1
}
step() { printf '\n$ %s\n' "$*"; }

# --- the origin, outside ---------------------------------------------------------------------
token=ghp_$(od -An -N18 -tx1 /dev/urandom | tr -d ' \n')
mkdir "$work/project" "$work/git"
"$tests/pki.sh" "$work/pki" api.github.com allowed.example.test || die "no certificates"
printf '%s\n' "$token" >"$work/pki/token"
mkfifo "$work/origin.stdin"
/usr/bin/python3 "$tests/origin.py" --dir "$work/pki" --log "$work/origin.log" \
	--ready "$work/ready" --token-file "$work/pki/token" --git "$work/git" <"$work/origin.stdin" &
origin_pid=$!
exec 9>"$work/origin.stdin"
for _ in $(seq 200); do
	[ -f "$work/ready" ] && break
	sleep 0.05
done
[ -f "$work/ready" ] || die "the origin does not start"
read -r https _ raw <"$work/ready"
to="--connect-to api.github.com:443=127.0.0.1:$https --upstream-ca $work/pki/ca.crt"

# --- a credential, granted once ---------------------------------------------------------------
step "moat grant github --token-stdin < token"
moat grant github --token-stdin $to <"$work/pki/token" || die "the grant failed"

# --- the mission's example ---------------------------------------------------------------------
step "moat run --grant github -- curl -s https://api.github.com/user"
run() { moat run --runtime bubblewrap --grant github $to "$work/project" -- "$@"; }
run curl -s https://api.github.com/user >"$work/answer" || die "the run failed"
cat "$work/answer"
main_run=$(moat list --json | /usr/bin/python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["id"])')

step "moat run --grant github -- env | grep -i token"
run env >"$work/env" || die "the run failed"
grep -i token "$work/env" || echo "# (no output)"

# --- the sandbox, searched from inside and from outside ------------------------------------------
cat >"$work/project/search.sh" <<'INSIDE'
# The token is not told to the sandbox: every byte that could hold one is copied out, and searched
# outside.
tr '\0' '\n' < /proc/self/environ
for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do cat "$f" 2>/dev/null; done
find / -xdev \( -path /proc -o -path /sys -o -path /usr \) -prune -o -type f -size -4M -print0 \
	2>/dev/null | xargs -0 cat 2>/dev/null
find /etc /home /root /run /tmp /var /workspace -type f -size -4M -print0 2>/dev/null |
	xargs -0 cat 2>/dev/null
grep -rlE 'ghp_[0-9a-f]{36}' /usr/bin /usr/etc /usr/local 2>/dev/null
INSIDE
step "moat run --grant github -- sh search.sh    # environ, cmdline, the whole file system"
run sh search.sh >"$work/everything" 2>/dev/null
echo "$(wc -c <"$work/everything") bytes of the sandbox searched"

# --- ways out ------------------------------------------------------------------------------------
cp "$tests/inside/escape.py" "$work/project/"
step "moat run -- python3 escape.py    # raw TCP, UDP, DNS, IPv6, without any proxy setting"
moat run --runtime bubblewrap $to "$work/project" -- /usr/bin/python3 escape.py 192.0.2.2 "$raw" \
	moat-demo >"$work/escape.json" || die "the run failed"
/usr/bin/python3 - "$work/escape.json" <<'SHOW'
import json, sys
for name, result in json.load(open(sys.argv[1])).items():
    if name.split()[0] in ("tcp", "udp", "dns", "metadata", "http", "icmp", "add"):
        print("  %-42s %s" % (name, str(result["outcome"]).split("\r\n")[0]))
SHOW

# --- the record ------------------------------------------------------------------------------------
step "moat logs $main_run"
moat logs "$main_run"
step "moat trace --network $main_run"
moat trace --network "$main_run"
step "moat audit $main_run"
moat audit "$main_run"
audit=$?

# --- what was seen ------------------------------------------------------------------------------------
false_claims=0
claim() { # text, then a command that is true when the claim is
	text=$1
	shift
	if "$@" >/dev/null 2>&1; then
		printf '  yes  %s\n' "$text"
	else
		printf '  NO   %s\n' "$text"
		false_claims=$((false_claims + 1))
	fi
}
absent() { ! grep -qF -e "$token" -e "$(printf %s "$token" | od -An -tx1 | tr -d ' \n')" "$@"; }
outcome() { # name, extended regular expression
	/usr/bin/python3 - "$work/escape.json" "$1" "$2" <<'CHECK'
import json, re, sys
outcome = str(json.load(open(sys.argv[1]))[sys.argv[2]]["outcome"])
sys.exit(0 if re.search(sys.argv[3], outcome) else 1)
CHECK
}
printf '\nWhat was seen\n'
claim "the origin, outside, got Authorization: Bearer <the token>" \
	grep -qF "\"Authorization\", \"Bearer $token\"" "$work/origin.log"
claim "the answer came back into the sandbox" grep -q your-username "$work/answer"
claim "the token was not in that answer" absent "$work/answer"
claim "no variable of the sandbox names a token" sh -c "! grep -qi token '$work/env'"
claim "neither environ, command lines nor any file of the sandbox holds it" \
	absent "$work/everything" "$work/env"
claim "that search did read the sandbox's files" grep -q 'agent\|root' "$work/everything"
claim "a program that ignores proxies gets nowhere (TCP to an odd port)" \
	outcome "tcp to an outside address, odd port" '^(ECONNRESET|EPIPE|closed)'
claim "a UDP packet gets nowhere" outcome "udp" '^ECONNREFUSED'
claim "a DNS query to 8.8.8.8 carries nothing out" \
	outcome "dns exfiltration, TXT to 8.8.8.8" '^rcode 0, 0 answers'
claim "an IPv6 connection gets nowhere" outcome "tcp over IPv6" '^(ECONNRESET|EPIPE|closed)'
claim "the metadata service is refused with a reason" outcome "metadata service" ' 403 '
claim "nothing of that arrived at a service of the host's" sh -c "! grep -q '\"raw\"' '$work/origin.log'"
claim "the log has the output" sh -c "'$build/src/moat' logs $main_run | grep -q your-username"
claim "the trace has the exchange, and which grant served it" \
	sh -c "'$build/src/moat' trace --network $main_run | grep -q 'api.github.com.*github'"
claim "the audit record verifies" test "$audit" -eq 0
claim "the token is in no file that moat keeps, but sealed in the vault" \
	sh -c "! grep -rqF '$token' '$MOAT_HOME'"
if [ "$false_claims" -ne 0 ]; then
	echo "$false_claims of these are false"
	exit 1
fi
echo "All of it holds."
