#!/usr/bin/env python3
"""Verifies what moat has on record of a run, without moat.

usage: verify-audit.py FILE --key PUB [--old CHECKPOINT] [--tsa-ca FILE] [--json]

FILE is what `moat audit export`, `moat audit prove` or `moat audit consistency` wrote: a bundle, the
proof that one record is in a signed tree, or that a tree has only grown since CHECKPOINT. PUB is the
public key, from a place that you trust; nothing else is trusted. With --tsa-ca the time stamps in a
bundle are checked as well: FILE has the certificates of the authorities that you trust.

Exit status: 0 valid, 1 tampered with (which record, and how, is said) or not readable, 2 called in a
way that is not understood, 3 incomplete: everything fits, but the run's end is not in it, or it was
found dead (run.lost).

This is written from the page moat-audit(5) alone, and shares nothing with the program that writes
the record: if the two agree, both did what the page says. The words in capitals name its sections.
It needs Python 3.9, and the program openssl for the signatures. It reads a bundle line by line, in
the same memory however long it is.
"""

import argparse
import base64
import decimal
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

FORMAT = 2
MAX_LINE = 2 << 20
MAX_RECORD = 1 << 20
MAX_PIECE = 16384
MAX_PROOF = 4 << 20  # a record in base64, 63 hashes and 16 signatures are less
MAX_NOTE = 16 << 10
MAX_SIGNATURES = 16
MAX_HASHES = 63

VALID, TAMPERED, USAGE, INCOMPLETE = 0, 1, 2, 3
VERDICTS = {VALID: "valid", TAMPERED: "tampered", INCOMPLETE: "incomplete"}


class Tampered(Exception):
    """Something does not fit: what, and at which record, if it is about one."""

    def __init__(self, problem, seq=None):
        super().__init__(problem)
        self.seq = seq


def need(holds, problem, seq=None):
    if not holds:
        raise Tampered(problem, seq)


# --- JSON, as RFC 8785 has it -------------------------------------------------------------------
# A text is canonical if writing what was read from it gives the same bytes. That finds white space,
# other orders, names that stand twice, and every other way to write a string or a number.


def read_number(text):
    """Numbers are doubles; those that count something, whole and less than 2^53, become an int."""
    x = float(text)
    return int(x) if 0 <= x < 2**53 and x == int(x) else x


def write_number(x):
    """As ECMAScript writes it (RFC 8785 section 3.2.2.3)."""
    if isinstance(x, int) or x == 0:
        return str(int(x))
    _, digits, exponent = decimal.Decimal(repr(abs(x))).normalize().as_tuple()
    digits = "".join(map(str, digits))
    point = len(digits) + exponent  # how many digits stand before the decimal point
    sign = "-" if x < 0 else ""
    if len(digits) <= point <= 21:
        return sign + digits + "0" * exponent
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    fraction = "." + digits[1:] if digits[1:] else ""
    return "%s%s%se%+d" % (sign, digits[0], fraction, point - 1)


def write_json(value):
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(write_json(n) + ":" + write_json(value[n]) for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write_json, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return write_number(value)
    return json.dumps(value, ensure_ascii=False)  # a string, true, false or null


def no_constant(name):
    raise ValueError(name)  # NaN, Infinity: Python would take them


def read_json(line):
    """The object or list that the bytes say; None if they are not canonical JSON."""
    try:
        value = json.loads(line.decode("utf-8"), parse_int=read_number, parse_float=read_number,
                           parse_constant=no_constant)
        return value if write_json(value).encode("utf-8") == line else None
    except (ValueError, TypeError, RecursionError):
        return None


def is_a(value, kind):
    """Whether it is an object with exactly these members, of these kinds."""
    return isinstance(value, dict) and {name: type(v) for name, v in value.items()} == kind


RECORD = {"data": dict, "prev": str, "run": str, "seq": int, "time": str, "type": str}
HEADER = {"bundle": int, "checkpoint": str, "from": int, "left": list, "right": list, "run": str,
          "size": int, "to": int}
PIECE = {"bytes": str, "output": int, "stream": int, "time": str}
CHECKPOINT = {"checkpoint": str, "size": int}
TIMESTAMP = {"size": int, "timestamp": str}
END = {"end": int}


def from_base64(text, problem, seq=None):
    """There is one way to write bytes in base64, and no other is taken."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise Tampered(problem, seq) from None
    need(base64.b64encode(data).decode() == text, problem, seq)
    return data


def from_decimal(text, problem):
    need(re.fullmatch("0|[1-9][0-9]{0,18}", text), problem)
    return int(text)


# --- TREE ---------------------------------------------------------------------------------------


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(record):
    return sha(b"\0", record)


def node(left, right):
    return sha(b"\1", left, right)


def split(n):
    """The largest power of two that is less than n."""
    return 1 << ((n - 1).bit_length() - 1)


class Tree:
    """Grows by records, and by perfect subtrees. It remembers the roots of the perfect subtrees that
    it is made up of, the largest first, so that it is never more than a few dozen hashes."""

    def __init__(self):
        self.roots = []  # (leaves, hash)

    def add(self, digest, leaves=1):
        while self.roots and self.roots[-1][0] == leaves:
            digest = node(self.roots.pop()[1], digest)
            leaves *= 2
        self.roots.append((leaves, digest))

    def root(self):
        if not self.roots:
            return sha()
        digest = self.roots[-1][1]
        for _, left in reversed(self.roots[:-1]):
            digest = node(left, digest)
        return digest


def left_subtrees(n):
    """How many leaves each of the perfect subtrees has that make up the first n."""
    return [1 << bit for bit in reversed(range(n.bit_length())) if n >> bit & 1]


def right_subtrees(begin, end):
    """The same for those from begin (which is not 0) to end."""
    sizes = []
    while begin < end:
        sizes.append(min(begin & -begin, 1 << ((end - begin).bit_length() - 1)))
        begin += sizes[-1]
    return sizes


def root_by_path(index, size, digest, path):
    """The root of a tree with this leaf at index, from its audit path (RFC 6962 section 2.1.1)."""
    if size == 1:
        need(not path, "the proof has too many hashes")
        return digest
    need(path, "the proof has too few hashes")
    k = split(size)
    if index < k:
        return node(root_by_path(index, k, digest, path[:-1]), path[-1])
    return node(path[-1], root_by_path(index - k, size - k, digest, path[:-1]))


def roots_by_proof(old, size, old_root, proof, at_left_edge=True):
    """The roots over the first `old` leaves and over all of them, from a consistency proof (RFC 6962
    section 2.1.2); takes the hashes from the end of the list."""
    if old == size and at_left_edge:
        return old_root, old_root
    need(proof, "the proof has too few hashes")
    other = proof.pop()
    if old == size:
        return other, other
    k = split(size)
    if old <= k:
        before, after = roots_by_proof(old, k, old_root, proof, at_left_edge)
        return before, node(after, other)
    before, after = roots_by_proof(old - k, size - k, old_root, proof, False)
    return node(other, before), node(other, after)


# --- CHECKPOINTS --------------------------------------------------------------------------------


class Usage(Exception):
    """What we were given to verify with cannot be used."""


class OpenSSL:
    """Checks signatures; it reads from files, which lie in a directory that is removed at the end."""

    def __init__(self, directory, key_file, tsa_ca):
        self.directory = directory
        self.tsa_ca = tsa_ca
        if shutil.which("openssl") is None:
            raise Usage("the program openssl is needed to check signatures")
        try:
            with open(key_file, encoding="ascii") as file:
                pem = re.search("-----BEGIN PUBLIC KEY-----([^-]*)-----END PUBLIC KEY-----",
                                file.read(1 << 16))
            der = base64.b64decode("".join(pem.group(1).split()), validate=True) if pem else b""
        except (OSError, ValueError) as error:
            raise Usage("%s: %s" % (key_file, error)) from None
        # SubjectPublicKeyInfo of an ECDSA key on P-256: always this, then the point's x and y.
        start = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
        if not (der.startswith(start) and len(der) == len(start) + 64):
            raise Usage("%s: not a public ECDSA key on P-256 in PEM" % key_file)
        self.key_id = sha(der)[:4]
        self.key = self.file("key.der", der)

    def file(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def run(self, *arguments):
        done = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0

    def signed(self, text, signature):
        # In DER it is no longer than this, and openssl would read no further, whatever follows.
        return len(signature) <= 72 and self.run("dgst", "-sha256", "-keyform", "DER", "-verify", self.key,
                                                 "-signature", self.file("signature", signature),
                                                 self.file("text", text))

    def stamped(self, note, stamp):
        return self.run("ts", "-verify", "-data", self.file("note", note), "-in",
                        self.file("stamp", stamp), "-CAfile", self.tsa_ca)


class Checkpoint:
    """A signed head of the tree, whose form and signature are right."""

    def __init__(self, note, openssl, what="the checkpoint", seq=None):
        problem = what + " is not a signed note of three lines"
        text, gap, signatures = note.partition("\n\n")
        lines = text.split("\n")
        need(gap and len(lines) == 3 and signatures.endswith("\n"), problem, seq)
        need(len(note.encode("utf-8")) <= MAX_NOTE, what + " is too long", seq)
        origin, size, root = lines
        need(origin.startswith("moat.run/"), what + " is not of a run", seq)
        self.note = note
        self.run = origin[len("moat.run/"):]
        self.size = from_decimal(size, problem)
        self.root = from_base64(root, problem, seq)
        need(len(self.root) == 32, problem, seq)
        self.check_signatures((text + "\n").encode("utf-8"), signatures[:-1].split("\n"), openssl,
                              what, seq)

    @staticmethod
    def check_signatures(text, lines, openssl, what, seq):
        need(len(lines) <= MAX_SIGNATURES, what + " has too many signatures", seq)
        ours = 0
        for line in lines:
            problem = what + " has a signature that is not well-formed"
            match = re.fullmatch("\u2014 ([^\0- \x7f+]+) ([^ ]+)", line)
            need(match, problem, seq)
            signature = from_base64(match.group(2), problem, seq)
            need(len(signature) > 4, problem, seq)
            if match.group(1) == "moat" and signature[:4] == openssl.key_id:
                need(openssl.signed(text, signature[4:]), what + " has a wrong signature", seq)
                ours += 1
        need(ours > 0, what + " is not signed by this key", seq)


# --- AUDIT RECORDS ------------------------------------------------------------------------------


def check_record(record, line, seq, run):
    """What can be seen of one record alone."""
    need(is_a(record, RECORD), "not a record", seq)
    need(len(line) <= MAX_RECORD, "longer than 1 MiB", seq)
    need(record["seq"] == seq, "its seq is not its number", seq)
    need(record["run"] == run, "it is of another run", seq)
    need(re.fullmatch("[0-9a-f]{64}", record["prev"]), "its prev is not a hash", seq)
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["time"], re.ASCII),
         "its time is not well-formed", seq)
    need((record["type"] == "run.created") == (seq == 0),
         "run.created is the first record and no other", seq)


# --- PROOFS -------------------------------------------------------------------------------------


def read_hashes(lines):
    need(len(lines) <= MAX_HASHES, "the proof has too many hashes")
    hashes = [from_base64(line, "a hash of the proof is not well-formed") for line in lines]
    need(all(len(h) == 32 for h in hashes), "a hash of the proof is not well-formed")
    return hashes


def after_word(word, line):
    need(line.startswith(word + " "), "the proof has no line " + word)
    return line[len(word) + 1:]


def verify_inclusion(lines, note, openssl, _):
    need(len(lines) >= 3, "the proof is cut off")
    raw = from_base64(after_word("extra", lines[1]), "the record is not in base64")
    index = from_decimal(after_word("index", lines[2]), "index is not a number")
    checkpoint = Checkpoint(note, openssl)
    record = read_json(raw)
    need(record is not None, "not canonical JSON", index)
    check_record(record, raw, index, checkpoint.run)
    need(index < checkpoint.size, "there is no such record in the tree", index)
    root = root_by_path(index, checkpoint.size, leaf(raw), read_hashes(lines[3:]))
    need(root == checkpoint.root, "it is not in the tree of this checkpoint", index)
    return VALID, report("inclusion", checkpoint, seq=index, type=record["type"])


def verify_consistency(lines, note, openssl, old_note):
    size = from_decimal(after_word("old", lines[0]), "old is not a number")
    new = Checkpoint(note, openssl)
    old = Checkpoint(old_note, openssl, "the older checkpoint")
    need(old.run == new.run, "the older checkpoint is of another run")
    need(old.size == size, "the proof is for another older checkpoint")
    need(old.size <= new.size, "the older checkpoint is of a larger tree")
    proof = read_hashes(lines[1:])
    if old.size == 0:
        need(old.root == sha(), "the older root is not that over nothing")
    else:
        roots = roots_by_proof(old.size, new.size, old.root, proof)
        need(roots == (old.root, new.root), "the older tree is not the beginning of the newer one")
    need(not proof, "the proof has too many hashes")
    return VALID, report("consistency", new, old_size=old.size)


# --- BUNDLES ------------------------------------------------------------------------------------


class Lines:
    """The lines of a bundle, each canonical JSON; `value` and `raw` are the one we are at."""

    def __init__(self, file):
        self.file = file
        self.count = 0
        self.seq = None  # the record that is due: what a broken line is about
        self.next()

    def next(self):
        line = self.file.readline(MAX_LINE + 1)
        self.count += 1
        what = "line %d " % self.count
        need(line, "the bundle is cut off after line %d" % (self.count - 1), self.seq)
        need(len(line) <= MAX_LINE, what + "is longer than 2 MiB", self.seq)
        need(line.endswith(b"\n"), what + "is cut off", self.seq)
        self.raw = line[:-1]
        self.value = read_json(self.raw)
        need(self.value is not None, what + "is not canonical JSON", self.seq)


class Bundle:
    def __init__(self, file, openssl):
        self.lines = Lines(file)
        self.openssl = openssl
        self.tree = Tree()
        self.next_piece = None  # the piece that the next record of output begins with, once known
        self.checkpoints = 1
        self.stamps = 0
        self.last_type = None

    def verify(self):
        self.read_header()
        for seq in range(self.begin, self.end):
            self.read_record(seq)
            if is_a(self.lines.value, CHECKPOINT):
                self.read_checkpoint(seq)
        need(is_a(self.lines.value, END) and self.lines.value["end"] == self.lines.count - 1,
             "line %d is not the end, or lines are missing" % self.lines.count)
        need(not self.lines.file.read(1), "there is something after the end")
        self.add_subtrees(self.right, right_subtrees(self.end, self.head.size), "right")
        need(self.tree.root() == self.head.root, "the records are not those of the signed tree")
        whole = self.begin == 0 and self.end == self.head.size
        verdict = INCOMPLETE if whole and self.last_type != "run.ended" else VALID
        return verdict, report("bundle", self.head, first=self.begin, to=self.end, whole=whole,
                               lost=self.last_type == "run.lost",
                               checkpoints=self.checkpoints, timestamps=self.stamps,
                               timestamps_checked=self.openssl.tsa_ca is not None)

    def read_header(self):
        header = self.lines.value
        need(is_a(header, HEADER), "the header is not well-formed")
        need(header["bundle"] == FORMAT, "the bundle is of another format")
        self.begin, self.end, self.right = header["from"], header["to"], header["right"]
        need(self.begin < self.end <= header["size"], "the header's numbers do not fit")
        self.head = Checkpoint(header["checkpoint"], self.openssl, "the header's checkpoint")
        need(self.head.run == header["run"], "the header's checkpoint is of another run")
        need(self.head.size == header["size"], "the header's checkpoint is of another size")
        self.add_subtrees(header["left"], left_subtrees(self.begin), "left")
        # What the first record has as prev, where the header shows it.
        self.prev = bytes(32) if self.begin == 0 else None
        if self.begin % 2 == 1:
            self.prev = from_base64(header["left"][-1], "left")
        self.next_piece = 0 if self.begin == 0 else None
        self.lines.seq = self.begin
        self.lines.next()

    def add_subtrees(self, hashes, sizes, name):
        problem = "the header's %s is not well-formed" % name
        need(len(hashes) == len(sizes), problem)
        for text, leaves in zip(hashes, sizes):
            digest = from_base64(text, problem)
            need(len(digest) == 32, problem)
            self.tree.add(digest, leaves)

    def read_record(self, seq):
        pieces, digest = self.read_pieces(seq)
        record = self.lines.value
        check_record(record, self.lines.raw, seq, self.head.run)
        need(self.prev is None or record["prev"] == self.prev.hex(),
             "its prev is not the record before it", seq)
        need(record["type"] not in ("run.ended", "run.lost") or seq + 1 == self.head.size,
             "something follows " + record["type"], seq)
        if record["type"] == "output":
            self.check_output(record["data"], pieces, digest, seq)
        else:
            need(not pieces, "output that it does not attest", seq)
        self.prev = leaf(self.lines.raw)
        self.tree.add(self.prev)
        self.last_type = record["type"]
        self.lines.seq = seq + 1
        self.lines.next()

    def read_pieces(self, seq):
        """The pieces before a record: the numbers of the first and the last, and their digest."""
        first = last = None
        digest = bytes(32)
        while is_a(self.lines.value, PIECE):
            piece = self.lines.value
            number, stream = piece["output"], piece["stream"]
            need(first is None or number == last + 1, "pieces of output are not in order", seq)
            data = from_base64(piece["bytes"], "a piece of output is not in base64", seq)
            need(len(data) <= MAX_PIECE and stream in (1, 2), "a piece is not well-formed", seq)
            need(re.fullmatch("0|[1-9][0-9]{0,19}", piece["time"])
                 and int(piece["time"]) < 2**64, "a piece's time is not well-formed", seq)
            digest = sha(digest, int(piece["time"]).to_bytes(8, "big"), bytes([stream]), data)
            first, last = number if first is None else first, number
            self.lines.next()
        return (None if first is None else (first, last)), digest

    def check_output(self, data, pieces, digest, seq):
        need(pieces is not None, "the output that it attests is missing", seq)
        numbers = {name: data.get(name) for name in ("from", "to")}
        need(is_a(numbers, {"from": int, "to": int}) and pieces == (data["from"], data["to"]),
             "the pieces of output are not those that it attests", seq)
        need(self.next_piece in (None, data["from"]), "pieces of output were left out", seq)
        need(data.get("sha256") == digest.hex(), "the output is not that which it attests", seq)
        self.next_piece = data["to"] + 1

    def read_checkpoint(self, seq):
        line = self.lines.value
        checkpoint = Checkpoint(line["checkpoint"], self.openssl, "the checkpoint after it", seq)
        need(checkpoint.run == self.head.run, "the checkpoint after it is of another run", seq)
        need(checkpoint.size == line["size"] == seq + 1,
             "the checkpoint after it is of another size", seq)
        need(checkpoint.root == self.tree.root(), "the checkpoint after it has another root", seq)
        self.checkpoints += 1
        self.lines.next()
        if is_a(self.lines.value, TIMESTAMP):
            self.read_timestamp(checkpoint, seq)

    def read_timestamp(self, checkpoint, seq):
        line = self.lines.value
        need(line["size"] == checkpoint.size, "the time stamp is of another size", seq)
        stamp = from_base64(line["timestamp"], "the time stamp is not in base64", seq)
        need(stamp, "the time stamp is empty", seq)
        need(self.openssl.tsa_ca is None or
             self.openssl.stamped(checkpoint.note.encode("utf-8"), stamp),
             "the time stamp is not one of the checkpoint by this authority", seq)
        self.stamps += 1
        self.lines.next()


# --- the command --------------------------------------------------------------------------------


def report(what, checkpoint, **more):
    return {"what": what, "run": checkpoint.run, "size": checkpoint.size,
            "root": checkpoint.root.hex(), **more}


def read_text(file, name):
    data = file.read(MAX_PROOF + 1)
    need(len(data) <= MAX_PROOF, name + " is too long")
    try:
        return data.decode("utf-8")
    except ValueError:
        raise Tampered(name + " is not UTF-8") from None


def verify(file, openssl, old_file):
    """What kind of file it is shows in how it begins."""
    start = file.peek(32)
    kinds = ((b"c2sp.org/tlog-proof@v1\n", verify_inclusion), (b"old ", verify_consistency))
    proof = next((check for magic, check in kinds if start.startswith(magic)), None)
    if (proof is verify_consistency) != (old_file is not None):
        raise Usage("--old is for a consistency proof" if old_file else
                    "a consistency proof is checked against --old CHECKPOINT")
    if proof is None:
        need(start.startswith(b"{"), "neither a bundle nor a proof")
        return Bundle(file, openssl).verify()
    head, gap, note = read_text(file, "the proof").partition("\n\n")
    need(gap, "the proof has no checkpoint")
    old_note = None
    if old_file is not None:
        with open(old_file, "rb") as old:
            old_note = read_text(old, "the older checkpoint")
    return proof(head.split("\n"), note, openssl, old_note)


def printable(value):
    """A record's words are not ours: none of them may steer the terminal."""
    return ascii(value) if isinstance(value, str) and not value.isprintable() else value


def words(verdict, found):
    """The verdict for people: what was checked, and what follows from it."""
    if verdict == TAMPERED:
        where = "" if found["problem_seq"] is None else "record %d: " % found["problem_seq"]
        return "TAMPERED: %s%s" % (where, found["problem"])
    lines = []
    if found["what"] == "inclusion":
        lines += ["VALID: record %(seq)d (%(type)s) of run %(run)s is in the tree of %(size)d records"]
    elif found["what"] == "consistency":
        lines += ["VALID: the tree of %(size)d records of run %(run)s begins with the %(old_size)d of "
                  "the older checkpoint"]
    elif not found["whole"]:
        lines += ["VALID: these are the records from %(first)d to before %(to)d of run %(run)s, as they "
                  "are in the tree of %(size)d records"]
    elif verdict == VALID:
        lines += ["VALID: these are all %(size)d records of run %(run)s, its end included"]
    else:
        lines += ["INCOMPLETE: these are the first %(size)d records of run %(run)s; " +
                  ("it was found dead" if found["lost"] else "its end is missing")]
    lines += ["root %(root)s"]
    if found.get("timestamps"):
        lines += ["%(timestamps)d time stamps, " + ("all by the authority given" if
                  found["timestamps_checked"] else "which were not checked: use --tsa-ca")]
    lines += ["signed by key %(key)s"]
    return "\n".join(lines) % {name: printable(value) for name, value in found.items()}


def parse_arguments():
    parser = argparse.ArgumentParser(description="Verifies what moat has on record of a run.")
    parser.add_argument("file", metavar="FILE", help="a bundle or a proof")
    parser.add_argument("--key", required=True, metavar="PUB", help="the public key to trust (PEM)")
    parser.add_argument("--old", metavar="CHECKPOINT", help="the older one of a consistency proof")
    parser.add_argument("--tsa-ca", metavar="FILE", help="the time-stamping authorities to trust")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="verify-audit.") as directory:
        try:
            openssl = OpenSSL(directory, arguments.key, arguments.tsa_ca)
            with open(arguments.file, "rb") as file:
                verdict, found = verify(file, openssl, arguments.old)
        except Tampered as problem:
            verdict, found = TAMPERED, {"problem": str(problem), "problem_seq": problem.seq}
        except Usage as problem:
            print("verify-audit.py: %s" % problem, file=sys.stderr)
            return USAGE
        except OSError as error:
            print("verify-audit.py: %s" % error, file=sys.stderr)
            return TAMPERED
    found = {"verdict": VERDICTS[verdict], "problem": None, "problem_seq": None, **found,
             "key": openssl.key_id.hex()}
    print(json.dumps(found) if arguments.json else words(verdict, found))
    return verdict


if __name__ == "__main__":
    sys.exit(main())
