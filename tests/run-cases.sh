#!/bin/sh
# The command line as data: each directory of cases/ holds a script `cmd` and what is to come of it:
# `out` and `err` (nothing, where they are missing) and `status` (0, where it is missing).
# run-cases.sh MOAT SAMPLE_RUNS [CASE...], output in TAP.
set -u
moat=$(realpath "$1") || exit 2
sample_runs=$(realpath "$2") || exit 2
shift 2
cases=$(cd "$(dirname "$0")/cases" && pwd) || exit 2
if [ $# -eq 0 ]; then
	for directory in "$cases"/*/; do
		set -- "$@" "$(basename "$directory")"
	done
fi

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM
mkdir "$work/bin"
ln -s "$moat" "$work/bin/moat"
ln -s "$sample_runs" "$work/bin/sample-runs"
PATH=$work/bin:$PATH
LC_ALL=C
export PATH LC_ALL
unset DOCKER_HOST GITHUB_TOKEN GH_TOKEN

# What was wanted and what came, as TAP comments.
differ() { # <wanted or nothing> <came> <what>
	[ -f "$1" ] && wanted=$1 || wanted=/dev/null
	cmp -s "$wanted" "$2" && return 1
	echo "# $3 differs:"
	diff -u "$wanted" "$2" | sed 's/^/#   /'
	return 0
}

echo "1..$#"
number=0
failed=0
for name; do
	number=$((number + 1))
	here=$work/$name
	mkdir "$here"
	MOAT_HOME=$here/home
	export MOAT_HOME
	(cd "$here" && sh "$cases/$name/cmd") >"$work/out" 2>"$work/err" </dev/null
	echo $? >"$work/status"
	[ -f "$cases/$name/status" ] && status=$cases/$name/status || status=$work/zero
	echo 0 >"$work/zero"
	bad=0
	differ "$cases/$name/out" "$work/out" "standard output" && bad=1
	differ "$cases/$name/err" "$work/err" "standard error" && bad=1
	differ "$status" "$work/status" "the exit status" && bad=1
	if [ $bad -eq 0 ]; then
		echo "ok $number - $name"
	else
		echo "not ok $number - $name"
		failed=1
	fi
done
exit $failed
