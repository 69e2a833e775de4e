"""Holds contrib/verify-audit.py and `moat audit verify` to each other.

usage: test_against_moat.py MOAT SAMPLE-RUNS [UNITTEST-ARGUMENT...]

Each file that test_verify_audit.py tries is given to both, and so is what moat exports of sample
runs, whole and changed at random: they must come to the same verdict. MOAT_TEST_SEED chooses the
changes, MOAT_TEST_CHANGES how many there are.
"""

import base64
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

import test_verify_audit
from audit_maker import base64_of, bundle_of, canonical
from test_verify_audit import SEED, TAMPERED, USAGE, VALID, INCOMPLETE, verifier

CHANGES = int(os.environ.get("MOAT_TEST_CHANGES", "300"))
# Of tests that try every byte, moat is asked about some only.
SAMPLED = {"test_every_changed_byte_is_found": 0.03, "test_every_cut_is_found": 0.02,
           "test_lines_that_are_dropped_doubled_or_swapped_are_found": 0.2,
           "test_every_stretch_is_valid": 0.5}
moat = sample_runs = None


class Both:
    """Asks moat as well, and insists on the same answer."""

    rate = 1.0
    seen = 0

    def moat_verdict(self, data, key, old=None):
        file = self.directory / "asked"
        file.write_bytes(data)
        options = []
        if old is not None:
            (self.directory / "asked-old").write_bytes(old)
            options = ["--old", self.directory / "asked-old"]
        done = subprocess.run([moat, "audit", "verify", "--json", file, "--key", key, *options],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False,
                              env={"MOAT_HOME": str(self.directory / "no-home"), "PATH": "/none"})
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def verdict(self, data, old=None, openssl=None):
        try:
            answer = super().verdict(data, old=old, openssl=openssl)
        except verifier.Usage as problem:
            answer = USAGE, problem
        # Who is trusted is in the options, and here in the openssl that is asked.
        key = self.key if openssl is None else self.trusted(openssl)
        if key is not None and self.chance.random() < self.rate:
            status, said = self.moat_verdict(data, key.public, old)
            Both.seen += 1
            if status != answer[0]:
                self.fail("verify-audit.py: %s\nmoat: %d %s\nof %r" % (answer, status, said,
                                                                    data[:20000]))
        if answer[0] == USAGE:
            raise verifier.Usage(str(answer[1]))
        return answer

    def trusted(self, openssl):
        if openssl.tsa_ca is not None:
            return None
        return self.key if openssl.key_id == self.key.id else self.other_key

    def run(self, result=None):
        self.chance = random.Random(SEED)
        self.rate = SAMPLED.get(self._testMethodName, 1.0)
        return super().run(result)


class Bundles(Both, test_verify_audit.Bundles):
    # Of these, moat is asked otherwise, or knows nothing.
    test_a_line_that_is_too_long_is_not_read = None


class Proofs(Both, test_verify_audit.Proofs):
    pass


class Exported(Both, test_verify_audit.Case):
    """What moat itself writes of a run."""

    RUNS = {"done": ("0123456789ab", VALID), "lost": ("222222222222", None)}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = cls.directory / "home"
        cls.environment = {"MOAT_HOME": str(cls.home), "PATH": os.environ["PATH"]}
        subprocess.run([sample_runs, "done"], env=cls.environment, check=True)
        cls.key = type("Key", (), {"public": cls.home / "audit" / "key.pub"})
        cls.openssl = cls.openssl_of(cls.key)
        cls.size = json.loads(cls.moat("audit", "--json"))["size"]

    @classmethod
    def moat(cls, *arguments, status=0):
        done = subprocess.run([moat, *map(str, arguments)], env=cls.environment, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        if done.returncode != status:
            raise AssertionError(done)
        return done.stdout

    def test_a_whole_run(self):
        found = self.assert_verdict(VALID, self.moat("audit", "export", "-o", "-"))
        said = json.loads(self.moat("audit", "--json"))
        self.assertEqual((found["root"], found["size"]), (said["root"], said["size"]))
        self.assertEqual((found["run"], said["verdict"]), (said["run"], "valid"))

    def test_every_stretch(self):
        self.assertGreater(self.size, 4)
        for begin in range(self.size):
            for last in range(begin, self.size):
                data = self.moat("audit", "export", "-o", "-", "--from", begin, "--to", last)
                found = self.assert_verdict(VALID, data)
                self.assertEqual((found["first"], found["to"]), (begin, last + 1))

    def test_every_record(self):
        for seq in range(self.size):
            found = self.assert_verdict(VALID, self.moat("audit", "prove", seq))
            self.assertEqual(found["seq"], seq)

    def test_a_tree_begins_with_itself(self):
        old = self.directory / "kept"
        old.write_bytes((self.home / "runs" / "0123456789ab" / "checkpoint").read_bytes())
        data = self.moat("audit", "consistency", old)
        found = self.assert_verdict(VALID, data, old=old.read_bytes())
        self.assertEqual(found["old_size"], self.size)

    def test_changes_at_random(self):
        bundle = self.moat("audit", "export", "-o", "-")
        stretch = self.moat("audit", "export", "-o", "-", "--from", 1, "--to", self.size - 2)
        proof = self.moat("audit", "prove", 1)
        chance = random.Random(SEED)
        verdicts = {VALID: 0, TAMPERED: 0, INCOMPLETE: 0}
        for n in range(CHANGES):
            data = chance.choice((bundle, bundle, stretch, proof))
            for _ in range(chance.choice((1, 1, 2))):
                data = change(chance, data)
            with self.subTest(n):
                verdicts[self.verdict(data)[0]] += 1
        # A change that finds its way back, or takes away a checkpoint that is not needed.
        self.assertLess(verdicts[VALID], CHANGES / 10, verdicts)


# --- changes ------------------------------------------------------------------------------------


def change_byte(chance, data):
    at = chance.randrange(len(data))
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1:]


def change_bit(chance, data):
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1:]


def drop_bytes(chance, data):
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.choice((1, 1, 1, 2, 4, 64)):]


def repeat_bytes(chance, data):
    at = chance.randrange(len(data))
    return data[:at] + data[at:at + chance.choice((1, 2, 4))] + data[at:]


def insert_bytes(chance, data):
    at = chance.randrange(len(data) + 1)
    more = chance.choice((b" ", b"\n", b"\0", b"0", b"\\", b'"', b"{}", b"\r", b"\xff", b"=", b"-",
                          b"[]", b"null", b"\\u0000", b"\xe2\x80\x94", b"\n\n", b","))
    return data[:at] + more + data[at:]


def cut(chance, data):
    return data[:chance.randrange(len(data))]


def mix_lines(chance, data):
    """Drops, doubles or swaps lines; the end of a bundle counts them again."""
    lines = data.split(b"\n")[:-1]
    recount = lines and lines[-1].startswith(b'{"end"')
    if recount:
        lines.pop()
    if not lines:
        return data
    n, m = chance.randrange(len(lines)), chance.randrange(len(lines))
    how = chance.randrange(3)
    if how == 0:
        del lines[n]
    elif how == 1:
        lines.insert(n, lines[m])
    else:
        lines[n], lines[m] = lines[m], lines[n]
    return bundle_of(lines) if recount else b"\n".join(lines) + b"\n"


VALUES = (0, 1, 2, 7, -1, 0.5, 2**53, 2**53 - 1, 1e300, True, None, "", "0", "x", [], {}, [""],
          base64_of(bytes(32)), base64_of(bytes(31)), "0" * 64)


def change_member(chance, data):
    """Another value for one of the members of one of the lines, which stays canonical."""
    lines = data.split(b"\n")
    n = chance.randrange(len(lines))
    try:
        value = json.loads(lines[n])
        name = chance.choice(list(value))
    except (ValueError, TypeError, IndexError):
        return change_bit(chance, data)
    old = value[name]
    if isinstance(old, int) and chance.random() < 0.5:
        value[name] = old + chance.choice((-1, 1))
    elif isinstance(old, list) and chance.random() < 0.5:
        value[name] = old + [base64_of(bytes(32))]
    elif isinstance(old, str) and chance.random() < 0.5:
        value[name] = chance.choice((old[:-1], old + "=", old + "\n", old.upper(), old[::-1]))
    elif chance.random() < 0.2:
        del value[name]
    elif chance.random() < 0.2:
        value[chance.choice(("more", "", "\u00e9"))] = chance.choice(VALUES)
    else:
        value[name] = chance.choice(VALUES)
    lines[n] = verifier.write_json(value).encode()
    return b"\n".join(lines)


def respell(chance, data):
    """The same in other words: another form of base64, of JSON, of a number."""
    olds_and_news = ((b"=\"", b"\""), (b":0", b":-0"), (b":1", b":1.0"), (b":1", b":1e0"),
                     (b"/", b"\\/"), (b"\\n", b"\\u000a"), (b",", b", "), (b"moat", b"\\u006doat"),
                     (b"\n", b"\r\n"), (b"\xe2\x80\x94", b"\\u2014"), (b"=\n", b"\n"),
                     (b"U=", b"V="), (b"A=", b"B="), (b"==", b""), (b"index ", b"index 0"),
                     (b"index ", b"index +"), (b"{", b"{ "), (b"\n{", b"\n\n{"))
    old, new = chance.choice(olds_and_news)
    return data.replace(old, new, chance.choice((1, 1, 2, -1)))


def change(chance, data):
    how = chance.choice((change_byte, change_bit, drop_bytes, repeat_bytes, insert_bytes, cut,
                         mix_lines, mix_lines, change_member, change_member, change_member, respell))
    return how(chance, data) if data else data


if __name__ == "__main__":
    moat, sample_runs = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    program = unittest.main(verbosity=2, exit=False)
    print("moat was asked %d times" % Both.seen, file=sys.stderr)
    sys.exit(not program.result.wasSuccessful())
