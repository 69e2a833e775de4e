#!/bin/sh
# Holds the includes to the layers and to the doors: check-layers.sh SOURCE_ROOT
#   - core includes core; store, proxy and runtime include core and themselves; the top includes all;
#   - moat-init, which is C, includes itself and the protocol it speaks;
#   - each C library is spoken to by the few files whose job that is.
set -u
cd "$1/src" || exit 2
status=0

complain() { # <law> <offending lines>
	[ -z "$2" ] && return
	echo "$1:"
	echo "$2" | sed 's/^/    /'
	status=1
}

included() { # <folder> <folder to leave out>: all that it includes in quotes
	grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' "$1" --exclude-dir="$2" \
		--include='*.h' --include='*.cpp' --include='*.c'
}

room() { # <room> <rooms it may include, as a pattern>
	complain "$1/ may include only $2" \
		"$(included "$1" init | grep -vE "include[[:space:]]+\"($2)/[^\"]+\"")"
}

door() { # <header pattern> <files that may include it, as a pattern>
	complain "<$1> belongs to $2" \
		"$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]+[<\"]($1)[>\"]" . |
			sed 's|^\./||' | grep -vE "^($2):")"
}

room core 'core'
room store 'core|store'
room proxy 'core|proxy'
room runtime 'core|runtime'

# moat-init is a C program of its own; what it shares with moat is the protocol between them.
complain "runtime/init/ may include only itself and the protocol" \
	"$(included runtime/init none | grep -vE 'include[[:space:]]+"([a-z_]+\.h|\.\./init_protocol\.h)"')"

door 'event2/.*' 'core/(loop|resolver)\.cpp|versions\.cpp'
door 'curl/.*' 'core/curl_library\.h'
door 'openssl/.*' 'proxy/crypto_library\.h'
door 'yaml\.h' '(core/yaml|versions)\.cpp'
door 'cjson/.*' 'core/json(_write)?\.cpp|versions\.cpp'
door 'nghttp2/.*' 'proxy/http2_impl\.h|versions\.cpp'
door 'zlib\.h' '(proxy/(gunzip|gzip_filter)|body_text|versions)\.cpp'
door 'brotli/.*' 'brotli_library\.h'
door 'lmdb\.h' 'store/[a-z_]+\.(h|cpp)|versions\.cpp'
door '(mbedtls|psa)/.*' 'core/(crypto\.cpp|mbedtls_compat\.h|timestamp\.cpp)|proxy/[a-z0-9_]+\.(h|cpp)|versions\.cpp'

exit $status
