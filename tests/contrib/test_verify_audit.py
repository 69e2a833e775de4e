"""contrib/verify-audit.py against what audit_maker.py makes, and against what others have published.

usage: test_verify_audit.py [UNITTEST-ARGUMENT...]; MOAT_TEST_SEED chooses the random changes.
"""

import base64
import importlib.util
import io
import json
import os
import pathlib
import random
import resource
import struct
import subprocess
import sys
import tempfile
import unittest

import audit_maker
from audit_maker import Run, base64_of, bundle_of, canonical, sha, small_run

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "contrib" / "verify-audit.py"
SEED = int(os.environ.get("MOAT_TEST_SEED", "1"))

sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("verify_audit", PROGRAM)
verifier = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verifier)

VALID, TAMPERED, USAGE, INCOMPLETE = 0, 1, 2, 3


class RememberingOpenSSL(verifier.OpenSSL):
    """The same answer for the same question: thousands of tests ask about the same few signatures."""

    answers = {}

    def signed(self, text, signature):
        question = (self.key_id, text, signature)
        if question not in self.answers:
            self.answers[question] = super().signed(text, signature)
        return self.answers[question]


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="moat-verify.")
        cls.directory = pathlib.Path(cls.temporary.name)
        cls.key = audit_maker.Key(cls.directory / "key")
        cls.other_key = audit_maker.Key(cls.directory / "other")
        cls.openssl = cls.openssl_of(cls.key)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def openssl_of(cls, key, tsa_ca=None):
        return RememberingOpenSSL(str(cls.directory), str(key.public), tsa_ca)

    def verdict(self, data, old=None, openssl=None):
        """The verdict, and what was found or what does not fit."""
        old_file = None
        if old is not None:
            old_file = self.directory / "old-checkpoint"
            old_file.write_bytes(old)
        file = io.BufferedReader(io.BytesIO(data))
        try:
            return verifier.verify(file, openssl or self.openssl, old_file)
        except verifier.Tampered as problem:
            return TAMPERED, problem

    def assert_verdict(self, wanted, data, **options):
        verdict, found = self.verdict(data, **options)
        self.assertEqual(verdict, wanted, found)
        return found

    def assert_tampered(self, data, problem="", seq=None, **options):
        found = self.assert_verdict(TAMPERED, data, **options)
        self.assertIn(problem, str(found))
        if seq is not None:
            self.assertEqual(found.seq, seq, found)


class Tree(unittest.TestCase):
    """The eight leaves of Certificate Transparency's reference tests, with their roots and proofs."""

    INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
              "606162636465666768696a6b6c6d6e6f"]
    ROOTS = ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
             "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
             "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
             "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
             "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
             "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
             "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
             "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
             "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"]
    PATHS = {  # (index, size)
        (0, 1): [],
        (0, 8): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                 "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                 "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"],
        (5, 8): ["bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                 "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                 "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"],
        (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
        (1, 5): ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                 "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                 "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"],
    }
    PROOFS = {  # (older size, size)
        (1, 1): [],
        (1, 8): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                 "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                 "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"],
        (6, 8): ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                 "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                 "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"],
        (2, 5): ["5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                 "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"],
        (6, 7): ["0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                 "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
                 "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"],
    }

    def setUp(self):
        self.leaves = [verifier.leaf(bytes.fromhex(data)) for data in self.INPUTS]
        self.roots = list(map(bytes.fromhex, self.ROOTS))

    def test_the_published_roots(self):
        tree = verifier.Tree()
        for size, wanted in enumerate(self.roots):
            self.assertEqual(tree.root(), wanted)
            self.assertEqual(audit_maker.root(self.leaves[:size]), wanted)
            if size < len(self.leaves):
                tree.add(self.leaves[size])

    def test_the_published_audit_paths(self):
        for (index, size), path in self.PATHS.items():
            path = list(map(bytes.fromhex, path))
            self.assertEqual(audit_maker.path(index, self.leaves[:size]), path)
            root = verifier.root_by_path(index, size, self.leaves[index], path)
            self.assertEqual(root, self.roots[size])

    def test_the_published_consistency_proofs(self):
        for (old, size), proof in self.PROOFS.items():
            proof = list(map(bytes.fromhex, proof))
            self.assertEqual(audit_maker.proof(old, self.leaves[:size]), proof)
            roots = verifier.roots_by_proof(old, size, self.roots[old], proof)
            self.assertEqual(roots, (self.roots[old], self.roots[size]))
            self.assertEqual(proof, [])

    def test_perfect_subtrees_make_up_every_stretch(self):
        leaves = [sha(bytes([n])) for n in range(40)]
        for size in range(1, len(leaves) + 1):
            for begin in range(size):
                for end in range(begin + 1, size + 1):
                    tree = verifier.Tree()
                    sizes = verifier.left_subtrees(begin)
                    for digest, n in zip(audit_maker.perfect_subtrees(leaves, 0, begin), sizes):
                        tree.add(digest, n)
                    self.assertEqual(sum(sizes), begin)
                    for digest in leaves[begin:end]:
                        tree.add(digest)
                    right = audit_maker.perfect_subtrees(leaves, end, size)
                    sizes = verifier.right_subtrees(end, size)
                    self.assertEqual(len(sizes), len(right))
                    for digest, n in zip(right, sizes):
                        tree.add(digest, n)
                    self.assertEqual(tree.root(), audit_maker.root(leaves[:size]))


class Json(unittest.TestCase):
    def test_numbers_are_those_of_the_rfc(self):
        # RFC 8785 appendix B: the bits of a double, and how it is written.
        for bits, text in (("0000000000000000", "0"), ("8000000000000000", "0"),
                           ("0000000000000001", "5e-324"), ("8000000000000001", "-5e-324"),
                           ("7fefffffffffffff", "1.7976931348623157e+308"),
                           ("ffefffffffffffff", "-1.7976931348623157e+308"),
                           ("4340000000000000", "9007199254740992"),
                           ("c340000000000000", "-9007199254740992"),
                           ("4430000000000000", "295147905179352830000"),
                           ("44b52d02c7e14af5", "9.999999999999997e+22"),
                           ("44b52d02c7e14af6", "1e+23"),
                           ("44b52d02c7e14af7", "1.0000000000000001e+23"),
                           ("444b1ae4d6e2ef4e", "999999999999999700000"),
                           ("444b1ae4d6e2ef4f", "999999999999999900000"),
                           ("444b1ae4d6e2ef50", "1e+21"),
                           ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
                           ("3eb0c6f7a0b5ed8d", "0.000001"),
                           ("41b3de4355555553", "333333333.3333332"),
                           ("41b3de4355555554", "333333333.33333325"),
                           ("41b3de4355555555", "333333333.3333333"),
                           ("41b3de4355555556", "333333333.3333334"),
                           ("41b3de4355555557", "333333333.33333343"),
                           ("becbf647612f3696", "-0.0000033333333333333333"),
                           ("43143ff3c1cb0959", "1424953923781206.2")):
            number = struct.unpack(">d", bytes.fromhex(bits))[0]
            self.assertEqual(verifier.write_number(number), text)
            self.assertIsNotNone(verifier.read_json(text.encode()), text)

    def test_what_is_canonical_is_taken(self):
        # Names in the order of UTF-16: a character beyond the BMP begins with a smaller unit than
        # U+FB33 (RFC 8785 section 3.2.3).
        for text in ('{"\\r":1,"1":2,"\x80":3,"\u00f6":4,"\u20ac":5,"\U0001f600":6,"\ufb33":7}',
                     '"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\"\\\\/\x7f\u2028"', "[]", "{}", "true",
                     "false", "[null,1,-1,0.5,1e+21,1e-7]", '{"":{"":[[]]}}'):
            self.assertIsNotNone(verifier.read_json(text.encode()), text)

    def test_what_is_not_is_refused(self):
        for text in (b"", b" {}", b"{} ", b"{}\n", b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1,"a":1}',
                     b'{"a":1,"a":2}', b'"\\u0041"', b'"\\/"', b'"\\u000A"', b'"\\u001F"', b'"\x01"',
                     b'"\\ud83d\\ude00"', b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"',
                     b"1.0", b"-0", b"01", b"1e2", b"1E+21", b"+1", b"1.", b"1e400", b"NaN",
                     b"Infinity", b"9007199254740993", b"0.10000000000000001", b"\xef\xbb\xbf{}",
                     b"[1,]", b"{} {}", b"'a'", b"{", b"[" * 100000, b"[" * 900 + b"]" * 901,
                     '{"\ufb33":7,"\U0001f600":6}'.encode(), b"9" * 5000, b"tru", b"{1:2}"):
            self.assertIsNone(verifier.read_json(text), text[:40])


class Bundles(Case):
    def setUp(self):
        self.run = small_run(self.key)
        self.checkpoints = (3, 6, 8)
        self.lines = self.run.lines(checkpoints=self.checkpoints)

    def test_a_whole_run_is_valid(self):
        found = self.assert_verdict(VALID, bundle_of(self.lines))
        self.assertEqual((found["first"], found["to"], found["size"]), (0, 8, 8))
        self.assertEqual(found["checkpoints"], 4)
        self.assertEqual(found["root"], audit_maker.root(self.run.leaves).hex())

    def test_a_run_that_goes_on_is_incomplete(self):
        for size in range(1, 8):
            self.assert_verdict(INCOMPLETE, self.run.bundle(0, size, size))
        lost = small_run(self.key, ended=False)
        self.assert_verdict(INCOMPLETE, lost.bundle())
        lost.add("run.lost", {"found_by": {"pid": 7, "uid": 0}})
        self.assertTrue(self.assert_verdict(INCOMPLETE, lost.bundle())["lost"])

    def test_every_stretch_is_valid(self):
        for size in range(1, 9):
            for begin in range(size):
                for end in range(begin + 1, size + 1):
                    data = self.run.bundle(begin, end, size, checkpoints=self.checkpoints)
                    whole = begin == 0 and end == size
                    self.assert_verdict(INCOMPLETE if whole and size < 8 else VALID, data)

    def test_other_signatures_are_passed_over(self):
        text = self.run.text(8)
        others = [self.other_key.line(text), self.other_key.line(text, "witness.example/w1"),
                  "\u2014 name.example AAAAAAA=\n"]
        for count in (1, 3, 15):
            note = self.run.note(8, (others * 5)[:count])
            self.lines[0] = canonical(self.run.header(0, 8, 8, note))
            self.assert_verdict(VALID, bundle_of(self.lines))
        self.lines[0] = canonical(self.run.header(0, 8, 8, self.run.note(8, others * 6)))
        self.assert_tampered(bundle_of(self.lines), "too many signatures")

    def test_each_signature_of_the_key_must_be_right(self):
        wrong = "\u2014 moat %s\n" % base64_of(self.key.id + self.key.sign("another text"))
        self.lines[0] = canonical(self.run.header(0, 8, 8, self.run.note(8, [wrong])))
        self.assert_tampered(bundle_of(self.lines), "wrong signature")

    def test_another_key_is_not_trusted(self):
        data = small_run(self.other_key).bundle()
        self.assert_tampered(data, "not signed by this key")
        self.assert_verdict(VALID, data, openssl=self.openssl_of(self.other_key))
        line = self.key.line(self.run.text(8), "moat.example")
        note = self.run.text(8) + "\n" + line
        self.lines[0] = canonical(self.run.header(0, 8, 8, note))
        self.assert_tampered(bundle_of(self.lines), "not signed by this key")

    def test_a_note_has_one_form(self):
        note = self.run.note()
        text, line = note.split("\n\n")
        for n, changed in enumerate((note[:-1], note + "\n", text + "\n" + line, text + "\n\n\n" + line,
                        text + "\nmore\n\n" + line, note.replace("\n8\n", "\n08\n"),
                        note.replace("\n8\n", "\n+8\n"), note.replace("\n8\n", "\n8 \n"),
                        note.replace("\n", "\r\n"), note.replace("\u2014", "-"),
                        note.replace(" moat ", " moat  "), note.replace(" moat ", " \u00a0moat "),
                        note.replace(" moat ", " mo+at "), note + "\u2014 a \n", note + "\u2014 a b\n",
                        note + "\u2014 a AAAA\n", note + "\u2014 a\x01 AAAAAAAA\n", note + "junk\n",
                        note + "\u2014 a AAAAAAB=\n", note + "\u2014 a AAAAAAA\n", "", "\n\n", text,
                        note + "\u2014 a\x7f AAAAAAAA\n", note + "\u2014 a\x00 AAAAAAAA\n",
                        note + "\0", note.replace("\n8\n", "\n8\0\n"), note.replace("moat.run", "\0"),
                        note + "\u2014 a " + "A" * 20000 + "\n",
                        "x" + note, note.replace("moat.run/", "moat.run"), note[:10])):
            self.lines[0] = canonical(self.run.header(0, 8, 8, changed))
            with self.subTest(n):
                self.assert_tampered(bundle_of(self.lines))

    def test_a_signature_has_one_form(self):
        text = self.run.text(8)
        der = self.key.sign(text)
        while len(der) < 72:  # the longest that there is: then openssl reads no further than that
            der = self.key.sign(text)
        r_end = 4 + der[3]
        r, s = der[4:r_end], der[r_end + 2:]

        def signature(r, s):
            body = b"\2" + bytes([len(r)]) + r + b"\2" + bytes([len(s)]) + s
            return b"\x30" + bytes([len(body)]) + body

        self.assertEqual(signature(r, s), der)
        for n, changed in enumerate((signature(b"\0" + r, s), signature(r, b"\0" + s), der + b"\0", der[:-1],
                        der[:1] + b"\x81" + der[1:], signature(s, r), b"\0" * 70,
                        b"\x30\x80" + der[2:] + b"\0\0", signature(r, b"\0"), signature(b"\0", s),
                                     signature(b"\0" + r, s)[:72], der + der)):
            note = "%s\n\u2014 moat %s\n" % (text, base64_of(self.key.id + changed))
            self.lines[0] = canonical(self.run.header(0, 8, 8, note))
            with self.subTest(n):
                self.assert_tampered(bundle_of(self.lines), "wrong signature")

    def test_every_changed_byte_is_found(self):
        chance = random.Random(SEED)
        data = bundle_of(self.lines)
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= chance.randrange(1, 256)
            self.assert_tampered(bytes(changed))
            changed[at] = data[at] ^ 1 << chance.randrange(8)
            self.assert_tampered(bytes(changed))

    def test_every_cut_is_found(self):
        data = bundle_of(self.lines)
        for at in range(len(data)):
            self.assert_tampered(data[:at])
        for more in (b"\n", b" ", b"\0", b"{}\n", data, canonical({"end": 21}) + b"\n"):
            self.assert_tampered(data + more, "something after the end")

    def test_lines_that_are_dropped_doubled_or_swapped_are_found(self):
        # Both with the last line as it was, and with one that counts the lines that are left.
        last = canonical({"end": len(self.lines)})
        optional = {n for n, line in enumerate(self.lines) if line.startswith(b'{"checkpoint"')}

        for n, line in enumerate(self.lines):
            dropped = self.lines[:n] + self.lines[n + 1:]
            self.assert_tampered(b"".join(line + b"\n" for line in [*dropped, last]))
            # What a checkpoint in the stretch attests, that of the header does as well.
            self.assert_verdict(VALID if n in optional else TAMPERED, bundle_of(dropped))
            self.assert_tampered(bundle_of(self.lines[:n] + [line] + self.lines[n:]))
            for m in range(n):
                swapped = list(self.lines)
                swapped[n], swapped[m] = swapped[m], swapped[n]
                self.assert_tampered(bundle_of(swapped))
        for n in range(1, len(self.lines) - 1):
            self.assert_tampered(bundle_of(self.lines[:n]))

    def test_the_record_that_was_changed_is_named(self):
        at = self.lines.index(self.run.records[4])
        changed = list(self.lines)
        changed[at] = changed[at].replace(b'"status":200', b'"status":500')
        # It is canonical, so it is the next that does not follow from it.
        self.assert_tampered(bundle_of(changed), "prev", 5)
        changed[at] = self.lines[at].replace(b'"seq":4', b'"seq":5')
        self.assert_tampered(bundle_of(changed), "seq", 4)
        changed[at] = self.lines[at].replace(b'"seq":4', b'"seq": 4')
        self.assert_tampered(bundle_of(changed), "not canonical", 4)
        changed = [line for line in self.lines if not line.startswith(b'{"bytes":"/wAg')]
        self.assert_tampered(bundle_of(changed), "pieces of output", 3)
        changed = list(self.lines)
        at = next(n for n, line in enumerate(changed) if line.startswith(b'{"bytes":"aGVs'))
        changed[at] = changed[at].replace(b'"stream":1', b'"stream":2')
        self.assert_tampered(bundle_of(changed), "the output is not that", 3)

    def test_a_checkpoint_of_another_run_is_found(self):
        other = small_run(self.key, "ffffffffffff")
        header = canonical(self.run.header(0, 8, 8, other.note(8)))
        self.assert_tampered(bundle_of([header, *self.lines[1:]]), "another run")
        header = canonical({**self.run.header(0, 8, 8, other.note(8)), "run": other.run})
        self.assert_tampered(bundle_of([header, *self.lines[1:]]), "another run", 0)
        for n, line in enumerate(self.lines):
            if line.startswith(b'{"checkpoint"'):
                size = json.loads(line)["size"]
                replay = canonical({"checkpoint": other.note(size), "size": size})
                self.assert_tampered(bundle_of(self.lines[:n] + [replay] + self.lines[n + 1:]),
                                     "another run", size - 1)
                for older in range(1, 9):
                    if older != size:
                        replay = canonical({"checkpoint": self.run.note(older), "size": size})
                        self.assert_tampered(
                            bundle_of(self.lines[:n] + [replay] + self.lines[n + 1:]),
                            "another size", size - 1)

    def test_a_run_of_the_same_name_with_other_records_is_found(self):
        # Forked: the signer has signed both, but a bundle cannot have some of each.
        fork = small_run(self.key)
        fork.records = fork.records[:4]
        fork.pieces = fork.pieces[:3]
        fork.attested = {3: fork.attested[3]}
        fork.add("exchange", {"method": "GET", "status": 404, "url": "https://api.github.com/user"})
        fork.output((1, b"x" * 100))
        fork.add("a.type.of.later")
        fork.add("run.ended", {"status": 0})
        lines = fork.lines(checkpoints=self.checkpoints)
        self.assertEqual(len(lines), len(self.lines))
        self.assert_verdict(VALID, bundle_of(lines))
        for n in range(1, len(lines)):
            if lines[n:] != self.lines[n:] and lines[:n] != self.lines[:n]:
                self.assert_tampered(bundle_of(self.lines[:n] + lines[n:]))
            if self.lines[:n] != lines[:n] and self.lines[n:] != lines[n:]:
                self.assert_tampered(bundle_of(lines[:n] + self.lines[n:]))
        replay = canonical({"checkpoint": fork.note(6), "size": 6})
        at = next(n for n, line in enumerate(self.lines) if line.endswith(b'"size":6}'))
        self.assert_tampered(bundle_of(self.lines[:at] + [replay] + self.lines[at + 1:]),
                             "another root", 5)

    def test_two_runs_that_were_spliced_are_found(self):
        other = small_run(self.key, "ffffffffffff").lines(checkpoints=self.checkpoints)
        for n in range(1, len(self.lines)):
            self.assert_tampered(bundle_of(self.lines[:n] + other[n:]))
            self.assert_tampered(bundle_of(other[:n] + self.lines[n:]))

    def test_a_header_that_says_something_else_is_found(self):
        header = json.loads(self.lines[0])
        changes = [{"from": 1}, {"to": 7}, {"to": 9}, {"size": 9}, {"size": 7}, {"bundle": 1},
                   {"bundle": 3}, {"run": "b"}, {"run": ""}, {"run": header["run"] + "\0"},
                   {"run": header["run"] + "\0x"}, {"checkpoint": header["checkpoint"] + "\0x"},
                   {"checkpoint": header["checkpoint"] + "\0"}, {"left": [base64_of(bytes(32))]}, {"to": 0},
                   {"right": [base64_of(bytes(32))]}, {"more": 1}, {"from": True}, {"from": "0"},
                   {"from": -1}, {"from": 0.5}, {"left": {}}, {"right": None}, {"left": [1]},
                   {"to": 2**53}, {"size": 1e300}, {"bundle": "2"}, {"checkpoint": None},
                   {"run": None}, {"from": 8}, {"from": 7, "to": 7}]
        for change in changes:
            text = json.dumps({**header, **change}, sort_keys=True, ensure_ascii=False,
                              separators=(",", ":"))
            self.assert_tampered(bundle_of([text.encode(), *self.lines[1:]]))
        for name in header:
            less = {n: value for n, value in header.items() if n != name}
            self.assert_tampered(bundle_of([canonical(less), *self.lines[1:]]), "header")
        self.assert_tampered(bundle_of(self.lines[1:]), "header")

    def test_hashes_beside_a_stretch_are_counted_and_counted_for(self):
        for begin, end, size in ((3, 5, 8), (1, 2, 7), (5, 6, 6), (0, 1, 8), (4, 6, 8)):
            lines = self.run.lines(begin, end, size)
            header = json.loads(lines[0])
            for name in ("left", "right"):
                hashes = header[name]
                for n in range(len(hashes)):
                    raw = bytearray(base64.b64decode(hashes[n]))
                    raw[n] ^= 1
                    for change in (hashes[:n] + hashes[n + 1:], hashes[:n] + [hashes[n]] + hashes[n:],
                                   hashes[:n] + [base64_of(raw)] + hashes[n + 1:],
                                   hashes[:n] + [base64_of(raw[:-1])] + hashes[n + 1:]):
                        self.assert_tampered(
                            bundle_of([canonical({**header, name: change}), *lines[1:]]))
                if len(hashes) > 1:
                    change = canonical({**header, name: hashes[::-1]})
                    self.assert_tampered(bundle_of([change, *lines[1:]]))

    def test_a_stretch_that_is_passed_off_as_another_is_found(self):
        for begin, end in ((2, 4), (3, 6), (1, 8)):
            lines = self.run.lines(begin, end)
            for other in range(7):
                length = end - begin
                if other != begin and other + length <= 8:
                    header = canonical(self.run.header(other, other + length, 8))
                    self.assert_tampered(bundle_of([header, *lines[1:]]))

    def test_a_record_that_was_signed_but_is_not_right_is_found(self):
        """What only the signer could make: the page says what a record is, not the signature."""
        def made(build):
            run = Run(self.key)
            build(run)
            return run.bundle()

        self.assert_verdict(INCOMPLETE, made(lambda run: run.add("x")))
        self.assert_verdict(INCOMPLETE, made(lambda run: run.output((1, b""), extra=1)))
        for problem, build in (
                ("something follows", lambda run: (run.add("run.ended"), run.add("x"))),
                ("something follows", lambda run: (run.add("run.lost"), run.add("run.ended"))),
                ("run.created", lambda run: run.add("run.created")),
                ("seq", lambda run: run.add("x", seq=7)),
                ("another run", lambda run: run.add("x", run="b")),
                ("prev", lambda run: run.add("x", prev=audit_maker.ZEROS)),
                ("prev", lambda run: run.add("x", prev="A" * 64)),
                ("not a record", lambda run: run.add("x", prev=None)),
                ("not a record", lambda run: run.add("x", data=[])),
                ("not a record", lambda run: run.add("x", more=1)),
                ("not a record", lambda run: run.add("x", seq=True)),
                ("not a record", lambda run: run.add(7)),
                ("time", lambda run: run.add("x", time="2023-11-14T22:13:20Z")),
                ("time", lambda run: run.add("x", time="2023-11-14T22:13:20.123456+00:00")),
                ("longer than", lambda run: run.add("x", {"a": "b" * (1 << 20)})),
                ("is missing", lambda run: run.add("output", {"from": 0, "sha256": "", "to": 0})),
                ("not those", lambda run: run.output((1, b""), to=1)),
                ("not those", lambda run: run.output((1, b""), **{"from": "0"})),
                ("not that", lambda run: run.output((1, b""), sha256="0" * 64)),
                ("not well-formed", lambda run: run.output((3, b""))),
                ("not well-formed", lambda run: run.output((1, bytes(16385)))),
        ):
            with self.subTest(problem):
                self.assert_tampered(made(build), problem)
        left_out = Run(self.key)
        left_out.output((1, b"a"))
        left_out.pieces.append((0, 1, b"never attested"))
        left_out.output((1, b"b"))
        self.assert_tampered(left_out.bundle(), "left out", 2)
        late = Run(self.key)
        late.pieces.append((0, 1, b"never attested"))
        late.output((1, b"b"))
        self.assert_tampered(late.bundle(), "left out", 1)
        self.assert_tampered(Run(self.key, created=False).bundle(0, 0, 0))
        first = Run(self.key, created=False)
        first.add("command.started")
        self.assert_tampered(first.bundle(), "run.created", 0)
        # prev of the first record of a stretch shows where the leaf before it does.
        wrong = Run(self.key)
        for _ in range(3):
            wrong.add("x", prev="ab" * 32)
        self.assert_tampered(wrong.bundle(1, 2, 4), "prev", 1)
        self.assert_verdict(VALID, wrong.bundle(2, 3, 4))

    def test_a_line_has_one_form(self):
        at = next(n for n, line in enumerate(self.lines) if line.startswith(b'{"bytes":"aGVs'))
        piece = json.loads(self.lines[at])
        for change in ({"output": "0"}, {"stream": 0}, {"stream": 3}, {"time": 0}, {"time": "00"},
                       {"time": "1" * 21}, {"time": str(2**64)}, {"time": "-1"}, {"time": ""},
                       {"bytes": "aGVsbG8L"}, {"bytes": "aGVsbG9="}, {"bytes": "aGVsbG8"},
                       {"bytes": " aGVsbG8K"}, {"bytes": "aGVs\nbG8K"}, {"bytes": None}, {"x": 1},
                       {"time": "\u0661"}, {"bytes": "\u0661AAA"}):
            changed = list(self.lines)
            changed[at] = canonical({**piece, **change})
            self.assert_tampered(bundle_of(changed), seq=3)
        for end in ({"end": 20.5}, {"end": "20"}, {"end": len(self.lines) + 1}, {"end": -1}, {},
                    {"end": len(self.lines), "more": 1}, [], 1, "end", None):
            data = b"".join(line + b"\n" for line in [*self.lines, canonical(end)])
            self.assert_tampered(data)

    def test_a_line_that_is_too_long_is_not_read(self):
        class Endless(io.RawIOBase):
            given = 0

            def readable(self):
                return True

            def readinto(self, buffer):
                buffer[:] = b"{" * len(buffer)
                self.given += len(buffer)
                return len(buffer)

        endless = Endless()
        with self.assertRaisesRegex(verifier.Tampered, "longer than 2 MiB"):
            verifier.verify(io.BufferedReader(endless), self.openssl, None)
        self.assertLess(endless.given, 3 << 20)

    def test_time_stamps(self):
        authority = audit_maker.Authority(self.directory / "tsa")
        other = audit_maker.Authority(self.directory / "other-tsa")
        self.run.stamps = {size: authority.stamp(self.run.note(size)) for size in (3, 8)}
        lines = self.run.lines(checkpoints=self.checkpoints)
        trusting = self.openssl_of(self.key, str(authority.ca))
        found = self.assert_verdict(VALID, bundle_of(lines))
        self.assertEqual((found["timestamps"], found["timestamps_checked"]), (2, False))
        found = self.assert_verdict(VALID, bundle_of(lines), openssl=trusting)
        self.assertEqual((found["timestamps"], found["timestamps_checked"]), (2, True))
        self.assert_tampered(bundle_of(lines), "by this authority", 2,
                             openssl=self.openssl_of(self.key, str(other.ca)))
        # That of another checkpoint, filed under this one.
        self.run.stamps = {8: self.run.stamps[3]}
        lines = self.run.lines(checkpoints=self.checkpoints)
        self.assert_tampered(bundle_of(lines), "by this authority", 7, openssl=trusting)
        stamp = lines.pop()
        self.assert_tampered(bundle_of([*lines, stamp, stamp]))
        self.assert_tampered(bundle_of([*lines[:2], stamp, *lines[2:]]))
        wrong = canonical({**json.loads(stamp), "size": 7})
        self.assert_tampered(bundle_of([*lines, wrong]), "another size", 7)


class Proofs(Case):
    def setUp(self):
        self.run = small_run(self.key)

    def test_every_record_is_proved_in_every_tree(self):
        for size in range(1, 9):
            for seq in range(size):
                found = self.assert_verdict(VALID, self.run.inclusion(seq, size))
                self.assertEqual((found["seq"], found["size"]), (seq, size))

    def test_every_tree_begins_with_those_before_it(self):
        for size in range(1, 9):
            for old in range(size + 1):
                found = self.assert_verdict(VALID, self.run.consistency(old, size),
                                            old=self.run.note(old).encode())
                self.assertEqual((found["old_size"], found["size"]), (old, size))

    def test_every_changed_byte_is_found(self):
        chance = random.Random(SEED)
        old = self.run.note(3).encode()
        for data, options in ((self.run.inclusion(5), {}), (self.run.consistency(3), {"old": old})):
            self.assert_verdict(VALID, data, **options)
            for at in range(len(data)):
                for flip in (chance.randrange(1, 256), 1 << chance.randrange(8)):
                    changed = bytearray(data)
                    changed[at] ^= flip
                    try:
                        self.assert_tampered(bytes(changed), **options)
                    except verifier.Usage:
                        self.assertLess(at, 4)  # it is no longer seen that it is such a proof
                if at:
                    try:
                        self.assert_tampered(data[:at], **options)
                    except verifier.Usage:
                        self.assertLess(at, 4)
            for more in (b"\n", b" ", b"x\n", b"\0"):
                self.assert_tampered(data + more, **options)
        for at in range(len(old)):
            changed = bytearray(old)
            changed[at] ^= chance.randrange(1, 256)
            self.assert_tampered(self.run.consistency(3), old=bytes(changed))
            self.assert_tampered(self.run.consistency(3), old=old[:at])

    def test_hashes_that_are_too_many_too_few_or_swapped_are_found(self):
        old = self.run.note(3).encode()
        for data, options in ((self.run.inclusion(5), {}), (self.run.consistency(3), {"old": old})):
            head, note = data.decode().split("\n\n", 1)
            lines = head.split("\n")
            first = next(n for n, line in enumerate(lines) if len(line) == 44)
            for n in range(first, len(lines)):
                for changed in (lines[:n] + lines[n + 1:], lines[:n] + [lines[n]] + lines[n:],
                                lines[:n] + [base64_of(bytes(31))] + lines[n + 1:],
                                lines[:n] + [lines[n - 1]] + lines[n + 1:],
                                lines[:n] + [lines[first]] * 61 + lines[n:],
                                lines[:n] + [lines[first]] * 5000 + lines[n:]):
                    if changed != lines:
                        self.assert_tampered(("\n".join(changed) + "\n\n" + note).encode(), **options)

    def test_a_proof_of_something_else_is_found(self):
        for seq, index in ((5, 4), (4, 5), (0, 1), (7, 3)):
            data = self.run.inclusion(seq).replace(b"\nindex %d\n" % seq, b"\nindex %d\n" % index)
            self.assert_tampered(data, "seq", index)
        other = small_run(self.key, "ffffffffffff")
        cut = self.run.inclusion(5).split(b"\n\n")[0] + b"\n\n"
        self.assert_tampered(cut + other.note().encode(), "another run", 5)
        self.assert_tampered(cut + self.run.note(7).encode(), "not in the tree", 5)
        self.assert_tampered(cut + self.run.note(5).encode(), "no such record", 5)
        self.assert_tampered(cut + small_run(self.other_key).note().encode(), "not signed")
        fork = small_run(self.key)
        fork.records[5:] = []
        fork.output((1, b"x" * 101))
        fork.add("x")
        fork.add("run.ended")
        self.assert_tampered(cut + fork.note().encode(), "not in the tree", 5)
        # A node of the tree is no leaf, though its hash is in the tree.
        leaves = self.run.leaves
        node = leaves[0] + leaves[1]
        lines = ["c2sp.org/tlog-proof@v1", "extra " + base64_of(node), "index 0",
                 *map(base64_of, audit_maker.path(0, leaves)[1:])]
        self.assert_tampered(("\n".join(lines) + "\n\n" + self.run.note()).encode())

    def test_an_older_checkpoint_that_is_not_its_beginning_is_found(self):
        other = small_run(self.key, "ffffffffffff")
        fork = small_run(self.key)
        fork.records[2:] = []
        for _ in range(6):
            fork.add("x")
        for old in range(1, 9):
            data = self.run.consistency(old)
            self.assert_tampered(data, "another run", old=other.note(old).encode())
            self.assert_tampered(data, "signed", old=small_run(self.other_key).note(old).encode())
            if old > 2:
                self.assert_tampered(data, "not the beginning", old=fork.note(old).encode())
            for wrong in range(9):
                if wrong != old:
                    self.assert_tampered(data, "another older", old=self.run.note(wrong).encode())
        back = self.run.consistency(3).split(b"\n\n")[0].replace(b"old 3", b"old 8")
        self.assert_tampered(back + b"\n\n" + self.run.note(3).encode(), "larger",
                             old=self.run.note(8).encode())

    def test_a_proof_is_read_no_further_than_it_can_be_long(self):
        self.assert_tampered(b"old " + b"1" * (5 << 20), "too long", old=self.run.note(3).encode())
        self.assert_tampered(b"c2sp.org/tlog-proof@v1\n" + b"\xff" * 100, "not UTF-8")
        name = "\u2014 witness AAAAAAAA\n".encode()
        self.assert_verdict(VALID, self.run.inclusion(1) + name)
        self.assert_tampered(self.run.inclusion(1) + name.replace(b"wit", b"w\xfft"), "not UTF-8")
        self.assert_tampered(b"c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n")
        self.assert_tampered(b"c2sp.org/tlog-proof@v1\n\n")
        self.assert_tampered(b"", "neither")
        self.assert_tampered(self.run.note().encode(), "neither")


class Command(Case):
    def call(self, *arguments, **options):
        return subprocess.run([str(PROGRAM), *map(str, arguments)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, **options)

    def file(self, name, data):
        path = self.directory / name
        path.write_bytes(data)
        return path

    def setUp(self):
        self.run_of_test = small_run(self.key)
        self.whole = self.file("whole", self.run_of_test.bundle(checkpoints=(3, 8)))
        self.trust = ("--key", self.key.public)

    def test_exit_statuses(self):
        run = self.run_of_test
        data = self.whole.read_bytes()
        proof = self.file("consistency", run.consistency(3))
        old = self.file("old", run.note(3).encode())
        cases = (
            (VALID, [self.whole, *self.trust], "VALID"),
            (INCOMPLETE, [self.file("open", run.bundle(0, 4, 4)), *self.trust], "INCOMPLETE"),
            (TAMPERED, [self.file("bad", data.replace(b":200", b":500")), *self.trust],
             "TAMPERED: record 5: its prev is not the record before it"),
            (TAMPERED, [self.whole, "--key", self.other_key.public], "TAMPERED"),
            (VALID, [self.file("part", run.bundle(2, 4)), *self.trust], "VALID"),
            (VALID, [self.file("proof", run.inclusion(2)), *self.trust], "VALID"),
            (VALID, [proof, *self.trust, "--old", old], "VALID"),
            (USAGE, [proof, *self.trust], ""),
            (USAGE, [self.whole, *self.trust, "--old", old], ""),
            (USAGE, [self.whole], ""),
            (USAGE, [self.whole, "--key", self.whole], ""),
            (USAGE, [self.whole, "--key", self.key.private], ""),
            (USAGE, [self.whole, "--key", self.directory / "none"], ""),
            (USAGE, [self.whole, *self.trust, "--no-such-option"], ""),
            (TAMPERED, [self.directory / "none", *self.trust], ""),
            (TAMPERED, [self.directory, *self.trust], ""),
        )
        for status, arguments, start in cases:
            done = self.call(*arguments)
            self.assertEqual(done.returncode, status, (arguments, done))
            self.assertTrue(done.stdout.startswith(start), done)
            self.assertEqual(bool(done.stdout), bool(start), done)
            self.assertEqual(bool(done.stderr), not start, done)
            self.assertNotIn("Traceback", done.stderr)
            if start:
                done = self.call(*arguments, "--json")
                self.assertEqual(done.returncode, status)
                found = json.loads(done.stdout)
                self.assertEqual(found["verdict"], {0: "valid", 1: "tampered", 3: "incomplete"}[status])
                self.assertEqual(found["problem"] is None, status != TAMPERED)
        self.assertEqual(json.loads(self.call(self.directory / "bad", *self.trust, "--json").stdout)
                         ["problem_seq"], 5)

    def test_keys_of_other_kinds_are_refused(self):
        run = audit_maker.Key.openssl
        private = self.directory / "p384.pem"
        run("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", private)
        public = self.directory / "p384.pub"
        run("ec", "-in", private, "-pubout", "-out", public)
        done = self.call(self.whole, "--key", public)
        self.assertEqual(done.returncode, USAGE, done)
        self.assertIn("P-256", done.stderr)

    def test_without_openssl_nothing_is_valid(self):
        done = subprocess.run([sys.executable, str(PROGRAM), str(self.whole), "--key",
                               str(self.key.public)], env={"PATH": str(self.directory)}, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stdout), (USAGE, ""))
        self.assertIn("openssl", done.stderr)

    def test_it_leaves_nothing_behind(self):
        empty = self.directory / "tmp"
        empty.mkdir()
        environment = {**os.environ, "TMPDIR": str(empty)}
        self.assertEqual(self.call(self.whole, *self.trust, env=environment).returncode, VALID)
        self.assertEqual(list(empty.iterdir()), [])

    def test_what_a_record_says_does_not_steer_the_terminal(self):
        run = Run(self.key)
        run.add("x\x1b[2J\x9b\u202e")
        done = self.call(self.file("steer", run.inclusion(1)), *self.trust)
        self.assertEqual(done.returncode, VALID, done)
        self.assertTrue(done.stdout.replace("\n", "").isprintable(), done.stdout)

    def test_a_long_bundle_is_read_in_little_memory(self):
        # 5,000 pieces of 16 KiB: 110 MB as it stands in the bundle.
        piece, count = (0, 1, bytes(16384)), 5000
        digest = bytes(32)
        for _ in range(count):
            digest = sha(digest, bytes(8), b"\1", piece[2])
        run = Run(self.key)
        run.add("output", {"from": 0, "sha256": digest.hex(), "to": count - 1})
        run.add("run.ended")
        template = canonical({"bytes": base64_of(piece[2]), "output": 77777777, "stream": 1,
                              "time": "0"})
        head, *records = run.lines()
        path = self.directory / "long"
        with open(path, "wb") as file:
            file.write(head + b"\n" + records[0] + b"\n")
            for number in range(count):
                file.write(template.replace(b"77777777", b"%d" % number) + b"\n")
            file.write(b"\n".join(records[1:]) + b"\n" + canonical({"end": count + 4}) + b"\n")

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (80 << 20, 80 << 20))

        done = self.call(path, *self.trust, preexec_fn=limit)
        path.unlink()
        self.assertEqual((done.returncode, done.stderr), (VALID, ""), done)


if __name__ == "__main__":
    unittest.main(verbosity=2)
