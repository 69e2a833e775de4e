#!/bin/sh
# A time-stamping authority of RFC 3161 for tests, with a root of its own, made by openssl(1).
# tsa.sh make DIRECTORY      the authority; its root is DIRECTORY/root.pem
# tsa.sh reply DIRECTORY     its answer on standard output to the query on standard input
set -eu
directory=$2
case $1 in
make)
	mkdir -p "$directory"
	cd "$directory"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
		-subj "/CN=Test root" -keyout root.key -out root.pem 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-subj "/CN=Test time stamps" -keyout tsa.key -out tsa.csr 2>/dev/null
	echo "extendedKeyUsage = critical, timeStamping" >tsa.ext
	openssl x509 -req -in tsa.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 \
		-extfile tsa.ext -out tsa.pem 2>/dev/null
	echo 01 >serial
	cat >tsa.conf <<-END
		[tsa]
		default_tsa = tsa_config
		[tsa_config]
		serial = $PWD/serial
		signer_cert = $PWD/tsa.pem
		signer_key = $PWD/tsa.key
		signer_digest = sha256
		default_policy = 1.2.3.4.1
		digests = sha256
		accuracy = secs:1
		clock_precision_digits = 3
		tsa_name = yes
		ess_cert_id_alg = sha256
	END
	;;
reply)
	cd "$directory"
	cat >query.tsq
	openssl ts -reply -config tsa.conf -section tsa_config -queryfile query.tsq -out reply.tsr 2>/dev/null
	cat reply.tsr
	;;
*)
	echo "usage: tsa.sh make|reply DIRECTORY" >&2
	exit 2
	;;
esac
