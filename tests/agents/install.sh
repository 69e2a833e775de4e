#!/bin/sh
# Installs the agents' own programs for the end-to-end tests, in these versions, through npm: nothing
# of theirs is run. With them goes a node, where this machine has none that all of them take.
# usage: install.sh DIRECTORY     which then has bin/claude, bin/codex, bin/gemini
#
# Does nothing where the directory has them. Exits 77, saying why, where npm is not there or cannot
# have them; with CI set that is a failure.
set -eu

packages='@anthropic-ai/claude-code@2.1.197 @openai/codex@0.169.0 @google/gemini-cli@0.61.0'
node_version=20.20.2

dir=$1
skip() {
	echo "install.sh: $*" >&2
	[ -n "${CI:-}" ] && exit 1
	exit 77
}

mkdir -p "$dir"
cd "$dir"
wanted="$packages $(uname -m)"
[ "$(cat versions 2>/dev/null)" != "$wanted" ] || exit 0
command -v npm >/dev/null || skip "npm is not installed"
case $(uname -m) in
x86_64) machine=x64 ;;
aarch64) machine=arm64 ;;
*) skip "the agents' programs are not made for $(uname -m)" ;;
esac

own_node=
major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
[ "${major:-0}" -ge 20 ] || own_node=node-linux-$machine@$node_version

rm -rf node_modules bin versions
echo '{"private": true}' >package.json
# shellcheck disable=SC2086 # words
npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error \
	$packages $own_node >npm.log 2>&1 || {
	tail -n 5 npm.log >&2
	skip "npm cannot install $packages"
}

mkdir bin
link() { # NAME PATTERN
	name=$1
	# shellcheck disable=SC2086 # a pattern
	set -- node_modules/$2
	[ -e "$1" ] || skip "npm has not installed $name"
	ln -s "../$1" "bin/$name"
}
link claude "@anthropic-ai/claude-code-linux-$machine/claude"
link codex "@openai/codex-linux-$machine/vendor/*/bin/codex"
link gemini.js '@google/gemini-cli/bundle/gemini.js'
[ -z "$own_node" ] || link node "node-linux-$machine/bin/node"
cat >bin/gemini <<'END'
#!/bin/sh
exec node "$(dirname "$0")/gemini.js" "$@"
END
chmod +x bin/gemini
echo "$wanted" >versions
