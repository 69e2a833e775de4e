#!/bin/sh
# Holds --help to its word, for moat and each of its commands: it prints something, in 80 columns,
# nothing on stderr, and exits with 0; -h and 'moat help COMMAND' are the same; an unknown option is
# complained about on stderr, with exit status 2. check-help.sh MOAT
set -u
moat=$1
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM
MOAT_HOME=$work/home
export MOAT_HOME
failed=0
complain() {
	echo "$*"
	failed=1
}

check() { # [command]
	"$moat" "$@" --help >"$work/long" 2>"$work/err" </dev/null || complain "moat $* --help: exits with $?"
	[ -s "$work/long" ] || complain "moat $* --help: prints nothing"
	[ ! -s "$work/err" ] || complain "moat $* --help: complains: $(cat "$work/err")"
	wide=$(awk 'length($0) > 80' "$work/long")
	[ -z "$wide" ] || complain "moat $* --help: wider than 80 columns: $wide"
	"$moat" "$@" -h >"$work/short" 2>&1 </dev/null
	cmp -s "$work/long" "$work/short" || complain "moat $* -h: is not what --help is"
	"$moat" help "$@" >"$work/help" 2>&1 </dev/null
	cmp -s "$work/long" "$work/help" || complain "moat help $*: is not what --help is"
	"$moat" "$@" --no-such-option >"$work/out" 2>"$work/err" </dev/null
	status=$?
	[ $status -eq 2 ] || complain "moat $* --no-such-option: exits with $status"
	[ -s "$work/err" ] || complain "moat $* --no-such-option: no complaint"
	[ ! -s "$work/out" ] || complain "moat $* --no-such-option: prints on stdout"
}

check
commands=$("$moat" --help | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p')
[ "$(echo "$commands" | wc -l)" -ge 10 ] || complain "moat --help: lists few commands: $commands"
for command in $commands; do
	check "$command"
	for second in $("$moat" "$command" --help | sed -n "s/^  $command \([a-z][a-z]*\)  .*/\1/p"); do
		check "$command" "$second"
	done
done
[ ! -e "$work/home" ] || complain "help made $MOAT_HOME"
exit $failed
