"""A record's file that was changed where it lies: found, or it was in space that nobody reads.

usage: test_damaged_record.py MOAT SAMPLE-RUNS [UNITTEST-ARGUMENT...]

LMDB believes the pages of its file, and is not to take moat down with it. MOAT_TEST_SEED chooses the
changes, MOAT_TEST_CHANGES how many there are.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

SEED = int(os.environ.get("MOAT_TEST_SEED", "1"))
CHANGES = int(os.environ.get("MOAT_TEST_CHANGES", "250"))
PAGE = 4096
RUN = "0123456789ab"
moat = sample_runs = None


class DamagedRecord(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="moat-damaged.")
        self.addCleanup(temporary.cleanup)
        self.environment = {"MOAT_HOME": temporary.name, "PATH": os.environ["PATH"]}
        subprocess.run([sample_runs, "done"], env=self.environment, check=True)
        self.record = pathlib.Path(temporary.name) / "runs" / RUN / "record.mdb"
        self.kept = self.record.read_bytes()
        self.facts = self.attested()
        self.assertEqual(self.facts[0], 0)

    def call(self, *arguments):
        done = subprocess.run([moat, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        # No signal ends it, and no sanitizer has anything to say.
        self.assertIn(done.returncode, (0, 1, 3), done)
        if done.returncode == 1:
            self.assertTrue(done.stdout or done.stderr, done)
        return done

    def attested(self):
        """What `moat audit` says of the record, but for what the page says is not attested."""
        done = self.call("audit", "--json", RUN)
        if done.returncode == 1:
            return 1, None
        said = json.loads(done.stdout)
        return done.returncode, {name: said[name] for name in ("run", "root", "size", "key")}

    def test_changes_at_random(self):
        chance = random.Random(SEED)
        used = [at for at in range(0, len(self.kept), PAGE) if any(self.kept[at:at + PAGE])]
        found = 0
        for n in range(CHANGES):
            changed = bytearray(self.kept)
            # Half of them in the head of a page, where it is said what is in it.
            at = chance.choice(used) + chance.choice((chance.randrange(PAGE), chance.randrange(64)))
            for near in range(at, min(at + chance.choice((1, 1, 4, 64)), len(changed))):
                changed[near] ^= chance.randrange(1, 256)
            self.record.write_bytes(changed)
            with self.subTest(seed=SEED, n=n, at=at):
                status, facts = self.attested()
                if status == 0:
                    self.assertEqual((status, facts), self.facts)
                found += status == 1
                for command in (["list"], ["logs", RUN], ["trace", "--network", RUN]):
                    self.call(*command)
        self.assertGreater(found, CHANGES / 50)

    def test_every_record_that_is_changed_is_found(self):
        """Wherever the bytes of an attested thing stand in the file, they cannot be others."""
        for text in (b'"type":"run.created"', b'"type":"run.ended"', b'"type":"output"',
                     b"a warning\n", b"api.example.com", b"moat.run/" + RUN.encode()):
            places = []
            at = self.kept.find(text)
            while at >= 0:
                places.append(at)
                at = self.kept.find(text, at + 1)
            # LMDB leaves pages behind that it no longer uses: not every copy counts, but one does.
            statuses = set()
            for at in places:
                for byte in (at, at + len(text) - 1):
                    self.record.write_bytes(self.kept[:byte] + bytes([self.kept[byte] ^ 1]) +
                                            self.kept[byte + 1:])
                    statuses.add(self.attested()[0])
            self.assertIn(1, statuses, text)

    def test_every_cut_is_found(self):
        for size in [0, 1, 100, *range(PAGE, len(self.kept), PAGE), len(self.kept) - 1]:
            self.record.write_bytes(self.kept[:size])
            self.assertEqual(self.attested()[0], 1, size)


if __name__ == "__main__":
    moat, sample_runs = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
