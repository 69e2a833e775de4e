#!/bin/sh
# A certificate authority for tests, and a certificate of its own making for the origin.
# usage: pki.sh DIRECTORY NAME...     makes ca.crt, origin.crt, origin.key there
set -eu
dir=$1
shift
mkdir -p "$dir"
cd "$dir"
quiet() { "$@" 2>pki.log || { cat pki.log >&2; exit 1; }; }
san=
for name in "$@"; do
	case $name in
	*[!0-9.]*) san=$san,DNS:$name ;;
	*) san=$san,IP:$name ;;
	esac
done
quiet openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
	-subj "/CN=moat test origin CA" -keyout ca.key -out ca.crt \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
quiet openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
	-subj "/CN=moat test origin" -keyout origin.key -out origin.csr
printf 'subjectAltName=%s\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n' \
	"${san#,}" >origin.ext
quiet openssl x509 -req -in origin.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
	-extfile origin.ext -out origin.crt
rm -f origin.csr origin.ext ca.srl pki.log
