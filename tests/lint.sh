#!/bin/sh
# What a machine can see without building a test: form, common mistakes, the layer law, the pages.
set -u
cd "$(dirname "$0")/.." || exit 2
status=0
sources() { git ls-files --cached --others --exclude-standard '*.cpp' '*.h' '*.c'; }

sources | xargs clang-format --dry-run -Werror || {
	echo "lint: form: run clang-format -i on the files above"
	status=1
}
./tests/check-layers.sh . || status=1
scripts=$(git ls-files --cached --others --exclude-standard '*.sh'; echo .ci/run)
# shellcheck disable=SC2086 # names of ours, without spaces
shellcheck --severity=warning $scripts || status=1

test -f build-lint/build.ninja || CC=clang CXX=clang++ meson setup build-lint >/dev/null
files=$(git ls-files 'src/*.cpp')
printf '%s\n' $files | xargs -P 2 -n 6 clang-tidy --quiet -p build-lint >build-lint/tidy.txt 2>/dev/null
if grep -E '(warning|error):' build-lint/tidy.txt; then
	echo "lint: clang-tidy: see above"
	status=1
fi
[ "$status" -eq 0 ] && echo "lint: nothing found"
exit "$status"
