"""Makes records, bundles and proofs as the page moat-audit(5) has them, for the tests of verifiers.

It is written from the page, in its words, and in the plainest way: every root is made from the leaves
anew. It shares nothing with moat, nor with contrib/verify-audit.py.
"""

import base64
import hashlib
import json
import pathlib
import subprocess

ZEROS = "0" * 64


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def base64_of(data):
    return base64.b64encode(data).decode()


def canonical(value):
    """RFC 8785, for what is made here: whole numbers, and names in which all characters are ASCII."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


# --- the tree, as RFC 6962 section 2.1 defines it ---------------------------------------------------


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else sha()
    k = split(len(leaves))
    return sha(b"\1", root(leaves[:k]), root(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return path(m, leaves[:k]) + [root(leaves[k:])]
    return path(m - k, leaves[k:]) + [root(leaves[:k])]


def proof(m, leaves, whole=True):
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return proof(m, leaves[:k], whole) + [root(leaves[k:])]
    return proof(m - k, leaves[k:], False) + [root(leaves[:k])]


def perfect_subtrees(leaves, begin, end):
    """The roots of the largest perfect subtrees from begin to end, each at a multiple of its size."""
    roots = []
    while begin < end:
        n = 1
        while begin % (2 * n) == 0 and begin + 2 * n <= end:
            n *= 2
        roots.append(root(leaves[begin:begin + n]))
        begin += n
    return roots


# --- keys --------------------------------------------------------------------------------------------


class Key:
    """An ECDSA key on P-256 in a directory of its own: key.pem and key.pub."""

    def __init__(self, directory):
        directory = pathlib.Path(directory)
        directory.mkdir()
        self.private = directory / "key.pem"
        self.public = directory / "key.pub"
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.private)
        self.openssl("ec", "-in", self.private, "-pubout", "-out", self.public)
        der = self.openssl("ec", "-in", self.private, "-pubout", "-outform", "DER")
        self.id = sha(der)[:4]
        self.lines = {}

    @staticmethod
    def openssl(*arguments, data=None):
        return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def sign(self, text):
        return self.openssl("dgst", "-sha256", "-sign", self.private, data=text.encode())

    def line(self, text, name="moat"):
        """The same text is signed once, so that a checkpoint that is asked for twice is one."""
        if (text, name) not in self.lines:
            self.lines[text, name] = "\u2014 %s %s\n" % (name, base64_of(self.id + self.sign(text)))
        return self.lines[text, name]


# --- a run's record, and what is exported of it --------------------------------------------------


class Run:
    def __init__(self, key, run="a1b2c3d4e5f6", created=True):
        self.key = key
        self.run = run
        self.records = []  # the bytes of each
        self.pieces = []  # (time, stream, bytes)
        self.attested = {}  # by the number of the record: the numbers of its pieces
        self.stamps = {}  # by the size of the tree: TimeStampResp
        if created:
            self.add("run.created", {"image": "node:20"})

    @property
    def leaves(self):
        return [sha(b"\0", record) for record in self.records]

    def add(self, kind, data=None, **changed):
        seq = len(self.records)
        record = {"data": {} if data is None else data, "prev": self.leaves[-1].hex() if seq else ZEROS,
                  "run": self.run, "seq": seq, "time": "2023-11-14T22:13:%02d.123456Z" % (seq % 60),
                  "type": kind, **changed}
        self.records.append(canonical(record))

    def output(self, *pieces, **changed):
        """A record of type output, for pieces of (stream, bytes) or (stream, bytes, time)."""
        first, digest = len(self.pieces), bytes(32)
        for stream, data, *time in pieces:
            number = len(self.pieces)
            time = time[0] if time else 1700000000000000000 + number
            self.pieces.append((time, stream, data))
            digest = sha(digest, time.to_bytes(8, "big"), bytes([stream]), data)
        self.attested[len(self.records)] = range(first, len(self.pieces))
        self.add("output", {"from": first, "sha256": digest.hex(), "to": len(self.pieces) - 1,
                            **changed})

    def text(self, size):
        return "moat.run/%s\n%d\n%s\n" % (self.run, size, base64_of(root(self.leaves[:size])))

    def note(self, size=None, others=()):
        """The checkpoint over the first `size` records; `others` are lines of other signatures."""
        text = self.text(len(self.records) if size is None else size)
        return text + "\n" + "".join(others) + self.key.line(text)

    def inclusion(self, seq, size=None):
        size = len(self.records) if size is None else size
        lines = ["c2sp.org/tlog-proof@v1", "extra " + base64_of(self.records[seq]), "index %d" % seq,
                 *map(base64_of, path(seq, self.leaves[:size]))]
        return ("\n".join(lines) + "\n\n" + self.note(size)).encode()

    def consistency(self, old, size=None):
        size = len(self.records) if size is None else size
        lines = ["old %d" % old]
        if old:
            lines += map(base64_of, proof(old, self.leaves[:size]))
        return ("\n".join(lines) + "\n\n" + self.note(size)).encode()

    def piece_line(self, number):
        time, stream, data = self.pieces[number]
        return canonical({"bytes": base64_of(data), "output": number, "stream": stream,
                          "time": str(time)})

    def header(self, begin, end, size, note=None):
        return {"bundle": 2, "checkpoint": self.note(size) if note is None else note, "from": begin,
                "left": list(map(base64_of, perfect_subtrees(self.leaves, 0, begin))),
                "right": list(map(base64_of, perfect_subtrees(self.leaves, end, size))),
                "run": self.run, "size": size, "to": end}

    def lines(self, begin=0, end=None, size=None, checkpoints=()):
        """The lines of a bundle but the last, without their newlines."""
        size = len(self.records) if size is None else size
        end = size if end is None else end
        lines = [canonical(self.header(begin, end, size))]
        for seq in range(begin, end):
            lines += map(self.piece_line, self.attested.get(seq, ()))
            lines.append(self.records[seq])
            if seq + 1 in checkpoints:
                lines.append(canonical({"checkpoint": self.note(seq + 1), "size": seq + 1}))
                if seq + 1 in self.stamps:
                    lines.append(canonical({"size": seq + 1,
                                            "timestamp": base64_of(self.stamps[seq + 1])}))
        return lines

    def bundle(self, *arguments, **options):
        return bundle_of(self.lines(*arguments, **options))


def bundle_of(lines):
    return b"".join(line + b"\n" for line in [*lines, canonical({"end": len(lines)})])


def small_run(key, run="a1b2c3d4e5f6", ended=True):
    """A run as runs are: with output in two records, requests, and an end."""
    made = Run(key, run)
    made.add("seal.proved", {"engine": "bubblewrap"})
    made.add("command.started", {"command": ["sh", "-c", "echo \u00e4 \u2028 \U0001f600"]})
    made.output((1, b"hello\n"), (2, b"\xff\x00 not text\n"), (1, b"", 0))
    made.add("exchange", {"method": "GET", "status": 200, "url": "https://api.github.com/user"})
    made.output((1, b"x" * 100))
    made.add("a.type.of.later", {"deep": [[], {}, None, True, -1, "\x7f"]})
    if ended:
        made.add("run.ended", {"status": 0})
    return made


class Authority:
    """A time-stamping authority with a certificate of its own making: ca.crt."""

    CONFIG = """
[tsa]
default_tsa = tsa1
[tsa1]
serial = %(dir)s/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
accuracy = secs:1
certs = %(dir)s/ca.crt
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = time
[extensions]
basicConstraints = critical, CA:true
extendedKeyUsage = critical, timeStamping
"""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        self.config = self.directory / "openssl.cnf"
        self.config.write_text(self.CONFIG % {"dir": self.directory})
        self.ca = self.directory / "ca.crt"
        Key.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", 2, "-config", self.config, "-keyout",
                    self.directory / "ca.key", "-out", self.ca)

    def stamp(self, note):
        files = {name: self.directory / name for name in ("note", "query", "reply")}
        files["note"].write_bytes(note.encode())
        Key.openssl("ts", "-query", "-data", files["note"], "-sha256", "-cert", "-out",
                    files["query"])
        Key.openssl("ts", "-reply", "-config", self.config, "-section", "tsa1", "-queryfile",
                    files["query"], "-signer", self.ca, "-inkey", self.directory / "ca.key", "-out",
                    files["reply"])
        return files["reply"].read_bytes()
