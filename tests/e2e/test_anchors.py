"""Where the heads of a record go besides its own directory: a log that keeps moat's last line, what
config.yaml names, and an authority that dates them."""

import base64
import calendar
import http.server
import json
import os
import pathlib
import pty
import re
import socket
import subprocess
import threading
import time
import unittest

import harness
from harness import MoatTest, wait_for

TSA = str(pathlib.Path(__file__).resolve().parent.parent / "tsa.sh")
LAST_LINE = re.compile(r"^moat: record of run ([0-9a-f]{12}): (\d+) records, root ([0-9a-f]{64}) "
                       r"\('moat audit ([0-9a-f]{12})' verifies it\)$")


class Authority:
    """openssl's, behind HTTP; `how` says what is wrong with its answers."""

    def __init__(self, directory):
        self.directory = directory
        subprocess.run([TSA, "make", str(directory)], check=True)
        self.how = "right"
        self.requests, self.replies = [], []
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                query = self.rfile.read(int(self.headers["Content-Length"]))
                authority.requests.append((self.path, self.headers["Content-Type"], query))
                reply = getattr(authority, authority.how)(query)
                authority.replies.append(reply)
                self.answer(reply)

            def answer(self, reply):
                try:
                    self.send_response(500 if authority.how == "broken" else 200)
                    self.send_header("Content-Type", "application/timestamp-reply")
                    self.send_header("Content-Length", str(len(reply)))
                    self.end_headers()
                    self.wfile.write(reply)
                except OSError:
                    pass  # who asked has had enough

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/tsr" % self.server.server_address[1]

    def reply(self, query):
        done = subprocess.run([TSA, "reply", str(self.directory)], input=query,
                              capture_output=True, check=True)
        return done.stdout

    def right(self, query):
        return self.reply(query)

    def wrong_imprint(self, query):
        at = query.index(bytes.fromhex("0420")) + 2
        return self.reply(query[:at] + bytes(32) + query[at + 32:])

    def wrong_nonce(self, query):
        at = query.index(bytes.fromhex("0208")) + 2
        return self.reply(query[:at] + b"\x41" * 8 + query[at + 8:])

    def no_nonce(self, query):
        at = query.index(bytes.fromhex("0208"))
        body = query[2:at] + query[at + 10:]
        return self.reply(b"\x30" + bytes([len(body)]) + body)

    def refusal(self, query):
        return self.reply(query.replace(bytes.fromhex("6086480165030402010500"),
                                        bytes.fromhex("6086480165030402020500")))

    def garbage(self, _):
        return b"<html>not a time stamp</html>"

    def huge(self, query):
        return self.reply(query) + bytes(64 * 1024)

    def broken(self, query):
        return self.reply(query)

    def slow(self, query):
        time.sleep(30)
        return b""

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Proxy:
    """Carries one request after the other, in absolute form, and keeps their heads."""

    def __init__(self):
        self.heads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += client.recv(65536)
                head, _, body = request.partition(b"\r\n\r\n")
                length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
                while len(body) < length:
                    body += client.recv(65536)
                self.heads.append(head.decode())
                host, port, path = re.match(r"POST http://([^:/]+):(\d+)(/\S*) ",
                                            head.decode()).groups()
                with socket.create_connection((host, int(port))) as origin:
                    origin.sendall(("POST %s HTTP/1.0\r\nContent-Type: application/timestamp-query"
                                    "\r\nContent-Length: %d\r\n\r\n" % (path, length)).encode() + body)
                    while piece := origin.recv(65536):
                        client.sendall(piece)

    def stop(self):
        self.listener.close()


class Anchors(MoatTest):
    def tearDown(self):
        (self.moat_home / "config.yaml").unlink(missing_ok=True)

    def configure(self, text):
        if not self.moat_home.exists():
            self.moat("list")
        path = self.moat_home / "config.yaml"
        path.write_text(text)
        os.chown(path, harness.UID, harness.UID)

    def check_last_line(self, stderr):
        told = LAST_LINE.match(stderr.splitlines()[-1])
        self.assertTrue(told, stderr)
        self.assertTrue(stderr.endswith("\n"))
        run, size, root, again = told.groups()
        self.assertEqual(run, again)
        audit = self.audit(run)
        self.assertEqual((audit["verdict"], audit["root"], audit["size"]), ("valid", root, int(size)))
        return run, int(size), root

    # --- the last line ------------------------------------------------------------------------
    def test_the_last_line_has_the_root_that_audit_finds(self):
        done = self.run_moat("sh", "-c", "echo out; echo err >&2; exit 7", expect=7)
        self.assertEqual(done.stdout, "out\n")
        self.assertEqual(done.stderr.splitlines()[0], "err")
        self.assertEqual(len(done.stderr.splitlines()), 2)
        self.check_last_line(done.stderr)

    def test_the_last_line_begins_a_line(self):
        done = self.run_moat("sh", "-c", "echo out; printf unfinished >&2")
        self.assertEqual(done.stderr.splitlines()[0], "unfinished")
        self.check_last_line(done.stderr)
        # Both in one pipe, as a CI system has it: what stdout ends with counts as well.
        done = self.run_moat("printf", "unfinished", stderr=subprocess.STDOUT)
        self.assertEqual(done.stdout.splitlines()[0], "unfinished")
        self.check_last_line(done.stdout)
        done = self.run_moat("printf", "unfinished")
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_no_last_line_on_a_terminal(self):
        own, theirs = pty.openpty()
        process = self.start(*self.run_arguments("sh", "-c", "echo err >&2"), stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(own, 65536):
                shown += piece
        except OSError:
            pass
        process.communicate(timeout=60)
        os.close(own)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(shown.decode(), "err\r\n")

    def test_no_last_line_without_a_record(self):
        done = self.run_moat("true", flags=("--grant", "github"), expect=125)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertNotIn("record of run", done.stderr)

    def test_a_proxy_has_a_last_line_too(self):
        error = open(self.workspace / "stderr", "w+b")
        self.addCleanup(error.close)
        process = self.start("proxy", "--listen", "127.0.0.1:0", "--ca-out", self.workspace / "ca",
                             stderr=error)
        text = (self.workspace / "stderr").read_text
        wait_for(lambda: "listening" in text())
        process.terminate()
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0)
        self.check_last_line(text())

    # --- anchors --------------------------------------------------------------------------------
    def test_the_last_head_reaches_every_anchor_before_moat_leaves(self):
        heads, noted = self.workspace / "heads", self.workspace / "noted"
        self.configure("""audit:
  anchor:
    - file: %s
    - command: [sh, -c, 'sleep 0.3; cat >"$0"; echo "$MOAT_RUN $MOAT_SIZE $MOAT_ROOT" >>"$0"', %s]
""" % (heads, noted))
        done = self.run_moat("true")
        run, size, root = self.check_last_line(done.stderr)
        checkpoint = (self.moat_home / "runs" / run / "checkpoint").read_text()
        self.assertEqual(heads.read_text(), checkpoint)
        self.assertEqual(noted.read_text(), checkpoint + "%s %d %s\n" % (run, size, root))
        self.assertEqual(base64.b64decode(checkpoint.splitlines()[2]).hex(), root)
        self.assertEqual(len(done.stderr.splitlines()), 1)

        # Another run's heads follow in the same file.
        self.run_moat("true")
        self.assertTrue(heads.read_text().startswith(checkpoint))
        self.assertEqual(heads.read_text().count("moat.run/"), 2)

    def test_heads_are_handed_on_while_the_run_goes_on(self):
        heads = self.workspace / "heads"
        self.configure("audit:\n  anchor:\n    - file: %s\n    - command: ['false']\n" % heads)
        process = self.start(*self.run_arguments("sh", "-c", "sleep 13"))
        wait_for(lambda: heads.exists() and heads.read_text(), 20)
        self.assertIsNone(process.poll())
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)
        run = self.check_last_line(stderr.decode())[0]
        # A failure is one record and makes one head more, and not one for each head that fails.
        bundle = self.records(run)
        failed = [record for record in bundle if record["type"] == "anchor.failed"]
        self.assertEqual([record["data"] for record in failed],
                         [{"anchor": "command false", "reason": "it ended with status 1"}])
        self.assertEqual(heads.read_text().count("moat.run/%s\n" % run), 3)
        self.assertEqual(stderr.decode().count("a head of the record has not been handed"), 1)
        self.assertEqual(stderr.decode().count("the last head of the record has not been handed"), 1)

    def records(self, run):
        """The audit records, taken from the file as it is: none of them spans pages of LMDB's."""
        data = (self.moat_home / "runs" / run / "record.mdb").read_bytes()
        found = {}
        for text in re.findall(rb'\{"data":\{[^\x00]*?"prev":"[0-9a-f]{64}","run":"%s","seq":\d+,'
                               rb'"time":"[^"]*","type":"[a-z.]+"\}' % run.encode(), data):
            try:
                record = json.loads(text)
            except ValueError:
                continue
            found[record["seq"]] = record
        return [found[seq] for seq in sorted(found)]

    def test_a_fifo_without_a_reader_and_a_hanging_command_hold_nothing_up(self):
        fifo = self.workspace / "fifo"
        os.mkfifo(fifo)
        os.chown(fifo, harness.UID, harness.UID)
        self.configure("audit:\n  anchor:\n    - file: %s\n    - command: [sleep, '1000']\n" % fifo)
        begun = time.monotonic()
        done = self.run_moat("true")
        self.assertLess(time.monotonic() - begun, 25)
        lines = done.stderr.splitlines()
        self.assertIn("not been handed to file %s: nobody reads it" % fifo, lines[0])
        self.assertIn("waiting for command sleep", lines[1])
        self.assertIn("command sleep: sleep takes too long", lines[2])
        self.check_last_line(done.stderr)

    def test_a_config_that_makes_no_sense_starts_nothing(self):
        self.configure("audit:\n  anchor:\n    - fil: /tmp/x\n")
        runs = len(self.runs())
        for command in (self.run_arguments("true"),
                        ["proxy", "--listen", "127.0.0.1:0", "--ca-out", self.workspace / "ca"]):
            done = self.moat(*command)
            self.assertIn(done.returncode, (1, 125))
            self.assertIn("config.yaml:3:7: unknown key 'fil', did you mean 'file'?", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertEqual(len(self.runs()), runs)

    def test_a_workspace_has_no_say_in_it(self):
        mark = self.workspace / "mark"
        for text in ("audit: {anchor: [command: [touch, %s]]}\n" % mark,
                     "audit: {anchor: [file: %s]}\n" % mark,
                     "audit: {timestamp: http://127.0.0.1:9/}\n",
                     "audit.anchor: [file: %s]\n" % mark):
            self.write_config(text)
            for flags in ((), ("--trust-config",)):
                done = self.run_moat("true", flags=flags, expect=125)
                self.assertIn("unknown key 'audit", done.stderr)
        self.assertFalse(mark.exists())

    # --- time stamps --------------------------------------------------------------------------
    def authority(self):
        authority = Authority(self.workspace / "tsa")
        self.addCleanup(authority.stop)
        self.configure("audit:\n  timestamp: %s\n" % authority.url)
        return authority

    def test_the_last_head_is_stamped(self):
        authority = self.authority()
        done = self.run_moat("true")
        run = self.check_last_line(done.stderr)[0]
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertEqual([request[:2] for request in authority.requests],
                         [("/tsr", "application/timestamp-query")])
        self.check_stamped(run, authority)

    def check_stamped(self, run, authority):
        record = (self.moat_home / "runs" / run / "record.mdb").read_bytes()
        self.assertEqual([reply in record for reply in authority.replies], [True])
        checkpoint = self.moat_home / "runs" / run / "checkpoint"
        reply = self.workspace / "reply"
        reply.write_bytes(authority.replies[0])
        done = subprocess.run(["openssl", "ts", "-verify", "-data", checkpoint, "-in", reply,
                               "-CAfile", authority.directory / "root.pem"], capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        told = self.audit(run)["timestamps"]
        self.assertEqual((told["count"], told["first"]), (1, told["last"]))
        age = time.time() - calendar.timegm(time.strptime(told["last"][:19], "%Y-%m-%dT%H:%M:%S"))
        self.assertTrue(-2 < age < 60, told)
        self.assertIn("1 time stamp, " + told["last"], self.moat("audit", run).stdout)

    def test_a_bundle_is_dated_by_an_authority_that_is_trusted(self):
        authority = self.authority()
        self.run_moat("true")
        bundle = self.workspace / "bundle"
        self.assertEqual(self.moat("audit", "export", "-o", bundle).returncode, 0)
        key = self.moat_home / "audit" / "key.pub"
        python = harness.HERE.parent.parent / "contrib" / "verify-audit.py"

        def verify(file, ca, expect, env=None):
            """What moat says; verify-audit.py comes to the same."""
            options = ["--key", key, "--tsa-ca", ca, "--json"]
            done = self.moat("audit", "verify", file, *options, env=env)
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
            if env is None:
                theirs = subprocess.run([harness.PYTHON, python, file, *options],
                                        capture_output=True, text=True)
                self.assertEqual(theirs.returncode, expect, theirs.stdout + theirs.stderr)
            return json.loads(done.stdout) if done.stdout else done.stderr

        root = authority.directory / "root.pem"
        told = verify(bundle, root, 0)
        self.assertEqual((told["verdict"], told["timestamps"], told["timestamps_checked"]),
                         ("valid", 1, True))
        self.assertEqual(told["first_timestamp"], self.audit()["timestamps"]["first"])
        self.assertIn("1 time stamp by an authority, " + told["first_timestamp"],
                      self.moat("audit", "verify", bundle, "--key", key, "--tsa-ca", root).stdout)
        unchecked = self.moat("audit", "verify", bundle, "--key", key)
        self.assertIn("1 time stamp, not verified", unchecked.stdout)

        # Somebody else's authority, one that is no authority for time stamps, and a stamp of the
        # right one over something else.
        stranger = self.workspace / "stranger"
        subprocess.run([TSA, "make", str(stranger)], check=True)
        told = verify(bundle, stranger / "root.pem", 1)
        self.assertIn("no authority of %s has signed it: " % (stranger / "root.pem"), told["problem"])
        lines = bundle.read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if '"timestamp":' in line)
        stamp = json.loads(lines[at])
        note = next(json.loads(line)["checkpoint"] for line in reversed(lines[:at])
                    if '"checkpoint":' in line)

        def reply_of(authority, data):
            query = subprocess.run(["openssl", "ts", "-query", "-sha256", "-cert", "-data",
                                    "/dev/stdin"], input=data, capture_output=True, check=True)
            return subprocess.run([TSA, "reply", str(authority)], input=query.stdout,
                                  capture_output=True, check=True).stdout

        def restamped(reply):
            line = {"size": stamp["size"], "timestamp": base64.b64encode(reply).decode()}
            path = self.workspace / "other"
            path.write_text("\n".join([*lines[:at], json.dumps(line, separators=(",", ":")),
                                       *lines[at + 1:], ""]))
            return path

        right = reply_of(authority.directory, note.encode())
        verify(restamped(right), root, 0)
        other = reply_of(authority.directory, b"something else")
        self.assertIn("the time stamp is over something else",
                      verify(restamped(other), root, 1)["problem"])
        for other in (reply_of(stranger, note.encode()), self.signed_by_a_server(authority, right)):
            self.assertIn("no authority of", verify(restamped(other), root, 1)["problem"])

        for ca, words in ((self.workspace / "nothing", "nothing"), (key, "no certificate in PEM")):
            self.assertIn(words, verify(bundle, ca, 1, env={}))
        self.assertIn("openssl", verify(bundle, root, 1, env={"PATH": "/nowhere"}))

    def signed_by_a_server(self, authority, reply):
        """The same, signed with a key that the root has certified for TLS and nothing else."""
        place = self.workspace / "server"
        place.mkdir()
        (place / "right.tsr").write_bytes(reply)
        (place / "extensions").write_text("extendedKeyUsage = critical, serverAuth\n")
        subprocess.run("""set -e
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server \\
                -keyout key -out csr
            openssl x509 -req -in csr -CA {0}/root.pem -CAkey {0}/root.key -CAcreateserial \\
                -extfile extensions -out crt
            openssl ts -reply -in right.tsr -token_out -out token
            openssl cms -verify -noverify -inform DER -in token -out content
            openssl cms -sign -binary -nodetach -cades -md sha256 -signer crt -inkey key \\
                -econtent_type 1.2.840.113549.1.9.16.1.4 -in content -outform DER -out token
            """.format(authority.directory), shell=True, check=True, cwd=place, capture_output=True)
        body = bytes.fromhex("3003020100") + (place / "token").read_bytes()  # granted
        return b"\x30\x82" + len(body).to_bytes(2, "big") + body

    def test_what_is_no_answer_is_told_and_not_kept(self):
        authority = self.authority()
        for how, reason in (
                ("wrong_imprint", "the time stamp is over something else"),
                ("wrong_nonce", "its nonce is not ours"),
                ("no_nonce", "its nonce is not ours"),
                ("refusal", "refuses: Message digest algorithm is not supported"),
                ("garbage", "it is not one DER sequence"),
                ("huge", "larger than 65536 bytes"),
                ("broken", "status 500 of HTTP")):
            authority.how = how
            done = self.run_moat("true")
            self.assertEqual(len(done.stderr.splitlines()), 2, done.stderr)
            self.assertIn("has not been handed to timestamp " + authority.url, done.stderr)
            self.assertIn(reason, done.stderr)
            run = self.check_last_line(done.stderr)[0]
            record = (self.moat_home / "runs" / run / "record.mdb").read_bytes()
            self.assertNotIn(authority.replies[-1], record)
            self.assertEqual(self.audit(run)["timestamps"],
                             {"count": 0, "first": None, "last": None})

    def test_an_authority_that_is_slow_or_away_keeps_nobody_for_long(self):
        authority = self.authority()
        authority.how = "slow"
        begun = time.monotonic()
        done = self.run_moat("true")
        self.assertLess(time.monotonic() - begun, 25)
        self.assertIn("waiting for timestamp", done.stderr)
        self.assertIn("no answer in time", done.stderr)
        self.check_last_line(done.stderr)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.configure("audit:\n  timestamp: http://127.0.0.1:%d/\n" % port)
        done = self.run_moat("true")
        self.assertIn("timestamp http://127.0.0.1:%d/" % port, done.stderr)
        self.check_last_line(done.stderr)

    def test_an_authority_is_asked_by_way_of_the_proxy(self):
        authority = self.authority()
        proxy = Proxy()
        self.addCleanup(proxy.stop)
        done = self.run_moat("true", flags=("--upstream-proxy",
                                            "http://me:p%%40ss@127.0.0.1:%d" % proxy.port))
        run = self.check_last_line(done.stderr)[0]
        self.assertEqual(len(proxy.heads), 1)
        self.assertIn("POST %s HTTP/1.1" % authority.url, proxy.heads[0])
        self.assertIn("Proxy-Authorization: Basic " + base64.b64encode(b"me:p@ss").decode(),
                      proxy.heads[0])
        self.check_stamped(run, authority)


if __name__ == "__main__":
    harness.main()
