"""The record proves itself: to moat, to whoever has only the public key, and against changes."""

import base64
import json
import os
import random
import shutil
import subprocess
import time

import harness
from harness import MOAT, PYTHON, MoatTest, wait_for

VERIFIER = harness.HERE.parent.parent / "contrib" / "verify-audit.py"
SEED = int(os.environ.get("MOAT_TEST_SEED", time.time_ns() % 100000))
VALID, TAMPERED, USAGE, INCOMPLETE = 0, 1, 2, 3

POLICY = """network:
  policy: strict
  rules:
    - allowed.example.test:
        - allow GET /open/**
"""
# Output on both streams, more of it than a piece holds; a request with the credential and one
# without; a refusal.
SCRIPT = """
echo to stdout; echo to stderr >&2
head -c 40000 /dev/zero | tr '\\0' x; echo
curl -s -o /dev/null https://api.github.com/user
curl -s -o /dev/null https://allowed.example.test/open/a
curl -s -o /dev/null https://allowed.example.test/secret
echo done
"""


class Audited(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.grant_github(cls())
        cls.elsewhere = cls.make_dir(cls.root / "elsewhere")
        shutil.copy(VERIFIER, cls.elsewhere / "verify-audit.py")
        os.chmod(cls.elsewhere / "verify-audit.py", 0o755)

    def whole_run(self):
        self.write_config(POLICY)
        self.ran = self.run_moat("sh", "-c", SCRIPT, flags=["--grant", "github"])
        return self.last_run()["id"]

    def directory(self, run):
        return self.moat_home / "runs" / run

    def public_key(self):
        """A copy, in a place where nothing else of moat's is."""
        copy = self.elsewhere / "key.pub"
        copy.write_bytes((self.moat_home / "audit" / "key.pub").read_bytes())
        os.chmod(copy, 0o644)
        return copy

    def audit_command(self, *arguments, expect=0):
        """stdout, as bytes."""
        process = self.start("audit", *arguments)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, expect, (arguments, out[-1000:], err))
        return out

    def export(self, run, *arguments):
        return self.audit_command("export", "-o", "-", *arguments, run)

    def verified(self, data, expect, old=None, key=None):
        """By moat in an empty environment, and by verify-audit.py: the same verdict. Theirs."""
        key = key or self.public_key()
        file = self.elsewhere / "file"
        file.write_bytes(data)
        options = ["--key", key, "--json"]
        if old is not None:
            (self.elsewhere / "old").write_bytes(old)
            options += ["--old", self.elsewhere / "old"]
        answers = []
        for command, environment in (([MOAT, "audit", "verify"], {"PATH": "/none"}),
                                     ([PYTHON, self.elsewhere / "verify-audit.py"],
                                      {"PATH": "/usr/bin:/bin"})):
            done = subprocess.run([*map(str, command), str(file), *map(str, options)],
                                  env=environment, cwd=self.elsewhere, stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=60)
            self.assertEqual(done.returncode, expect, done)
            answers.append(json.loads(done.stdout))
        for name in ("verdict", "run", "size", "root", "key"):
            if name in answers[0] and name in answers[1]:
                self.assertEqual(answers[0][name], answers[1][name], answers)
        return answers[1]

    def records_of(self, bundle):
        lines = [json.loads(line) for line in bundle.splitlines()]
        return [line for line in lines if "seq" in line]


class Record(Audited):
    def test_what_happened_is_on_record(self):
        run = self.whole_run()
        verdict = self.audit(run)
        self.assertEqual(verdict["verdict"], "valid")
        bundle = self.export(run)
        records = self.records_of(bundle)
        self.assertEqual([record["seq"] for record in records], list(range(verdict["records"])))
        types = [record["type"] for record in records]
        self.assertEqual((types[0], types[-1]), ("run.created", "run.ended"))
        self.assertEqual(types.count("run.created") + types.count("run.ended"), 2)
        for name in ("seal.proved", "command.started", "output", "exchange"):
            self.assertIn(name, types)
        # What is secret is named, and not shown.
        self.assertNotIn(self.token.encode(), bundle)
        # The output, to the byte and in two streams.
        printed = {1: b"", 2: b""}
        for line in map(json.loads, bundle.splitlines()):
            if "output" in line:
                printed[line["stream"]] += base64.b64decode(line["bytes"])
        self.assertEqual(printed[1].decode(), self.ran.stdout)
        self.assertIn(b"to stderr\n", printed[2])
        self.assertEqual(len(printed[1]), len("to stdout\n") + 40001 + len("done\n"))
        # The requests: with the grant, without, and refused.
        exchanges = [json.dumps(record["data"]) for record in records
                     if record["type"] == "exchange"]
        self.assertEqual(len(exchanges), 3)
        for exchange, words in zip(exchanges, (("api.github.com", "/user", '"github"', "200"),
                                               ("allowed.example.test", "/open/a", "200"),
                                               ("allowed.example.test", "/secret", "403"))):
            for word in words:
                self.assertIn(word, exchange)

    def test_show_prints_the_records(self):
        run = self.whole_run()
        shown = [json.loads(line) for line in self.audit_command("show", "--json", run).splitlines()]
        records = self.records_of(self.export(run))
        self.assertEqual([record["seq"] for record in shown], [record["seq"] for record in records])
        self.assertEqual([record["type"] for record in shown],
                         [record["type"] for record in records])
        text = self.audit_command("show", run).decode()
        for name in ("run.created", "seal.proved", "exchange", "run.ended"):
            self.assertIn(name, text)
        self.assertNotIn("\x1b", text)

    def test_a_bundle_proves_itself_to_a_stranger(self):
        run = self.whole_run()
        verdict = self.audit(run)
        found = self.verified(self.export(run), VALID)
        self.assertEqual((found["run"], found["size"], found["root"]),
                         (run, verdict["records"], verdict["root"]))
        last = verdict["records"] - 1
        for begin, end in ((0, 0), (1, last - 1), (last, last), (0, last)):
            found = self.verified(self.export(run, "--from", begin, "--to", end), VALID)
            self.assertEqual((found["first"], found["to"]), (begin, end + 1))

    def test_a_bundle_that_was_changed_does_not(self):
        bundle = self.export(self.whole_run())
        chance = random.Random(SEED)
        for _ in range(40):
            at = chance.randrange(len(bundle))
            changed = bytes([bundle[at] ^ 1 << chance.randrange(8)])
            with self.subTest(seed=SEED, at=at):
                self.verified(bundle[:at] + changed + bundle[at + 1:], TAMPERED)
        lines = bundle.splitlines(keepends=True)
        self.verified(b"".join(lines[:-1]), TAMPERED)
        self.verified(b"".join(lines[:3] + lines[4:]), TAMPERED)
        other = self.export(self.whole_run()).splitlines(keepends=True)
        self.verified(b"".join(lines[:4] + other[4:]), TAMPERED)

    def test_each_record_is_proved(self):
        run = self.whole_run()
        for seq in range(self.audit(run)["records"]):
            found = self.verified(self.audit_command("prove", seq, run), VALID)
            self.assertEqual((found["run"], found["seq"]), (run, seq))
        past = self.audit(run)["records"]
        self.audit_command("prove", past, run, expect=INCOMPLETE)
        self.audit_command("prove", "x", run, expect=USAGE)

    def test_a_run_that_is_not_there(self):
        self.whole_run()
        for command in (["export", "-o", "-"], ["prove", "0"], ["show"]):
            self.audit_command(*command, "nosuchrun", expect=TAMPERED)

    def test_another_key_proves_nothing(self):
        run = self.whole_run()
        other = self.elsewhere / "other.pub"
        private = self.elsewhere / "other.pem"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                        str(private)], check=True)
        subprocess.run(["openssl", "ec", "-in", str(private), "-pubout", "-out", str(other)],
                       check=True, capture_output=True)
        self.verified(self.export(run), TAMPERED, key=other)
        self.verified(self.audit_command("prove", 1, run), TAMPERED, key=other)
        self.audit_command("-k", other, run, expect=TAMPERED)


class Live(Audited):
    def live_run(self):
        done = self.moat(*self.run_arguments(
            "sh", "-c", "n=0; while [ ! -e stop ]; do n=$((n+1)); echo line $n; sleep 0.2; done",
            flags=["-d"]))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def end(self, run):
        (self.workspace / "stop").write_text("")
        wait_for(lambda: next(r for r in self.runs() if r["id"] == run)["state"] == "ended")

    def checkpoint(self, run):
        try:
            return (self.directory(run) / "checkpoint").read_bytes()
        except FileNotFoundError:
            return None

    def size(self, note):
        return int(note.split(b"\n")[1])

    def test_a_tree_only_grows(self):
        run = self.live_run()
        first = wait_for(lambda: self.checkpoint(run))
        kept = self.elsewhere / "kept"
        kept.write_bytes(first)
        os.chmod(kept, 0o644)
        self.verified(self.audit_command("consistency", kept, run), VALID, old=first)
        # A head at least every five seconds.
        second = wait_for(lambda: self.checkpoint(run) != first and self.checkpoint(run))
        self.assertGreater(self.size(second), self.size(first))
        self.verified(self.audit_command("consistency", kept, run), VALID, old=first)
        self.verified(self.export(run), INCOMPLETE)
        self.audit_command(run, expect=INCOMPLETE)
        self.end(run)
        proof = self.audit_command("consistency", kept, run)
        found = self.verified(proof, VALID, old=first)
        self.assertEqual((found["old_size"], found["size"]),
                         (self.size(first), self.audit(run)["records"]))
        self.verified(proof, TAMPERED, old=second)
        self.verified(self.export(run), VALID)
        # The kept head of a tree that another has taken the place of.
        other = self.whole_run()
        self.audit_command("consistency", kept, other, expect=TAMPERED)
        self.verified(self.audit_command("consistency", self.directory(other) / "checkpoint", other),
                      TAMPERED, old=first)

    def test_heads_are_told_as_they_are_signed(self):
        run = self.live_run()
        watch = self.start("audit", "watch", "--json", run)
        wait_for(lambda: self.checkpoint(run))
        time.sleep(6)
        self.end(run)
        out, err = watch.communicate(timeout=30)
        self.assertEqual(watch.returncode, 0, err)
        heads = [json.loads(line) for line in out.splitlines()]
        sizes = [head["size"] for head in heads]
        self.assertGreaterEqual(len(sizes), 2, out)
        self.assertEqual(sizes, sorted(set(sizes)))
        verdict = self.audit(run)
        self.assertEqual((sizes[-1], heads[-1]["root"]), (verdict["records"], verdict["root"]))

    def test_a_run_that_was_killed_is_never_valid(self):
        process = self.start(*self.run_arguments("sh", "-c", "echo up; exec sleep 300"))
        self.assertEqual(process.stdout.readline(), b"up\n")
        run = self.last_run()["id"]
        wait_for(lambda: self.checkpoint(run))
        process.kill()
        process.communicate(timeout=30)
        self.audit_command(run, expect=INCOMPLETE)
        self.verified(self.export(run), INCOMPLETE)


class Keys(Audited):
    def test_old_runs_outlive_a_new_key(self):
        old_run = self.whole_run()
        old_key = self.elsewhere / "old-key.pub"
        old_key.write_bytes(self.public_key().read_bytes())
        printed = self.audit_command("key")
        self.assertIn(b"-----BEGIN PUBLIC KEY-----", printed)
        old_id = self.audit(old_run)["key"]
        self.assertIn(old_id.encode(), printed)
        self.audit_command("key", "--rotate")
        new_run = self.whole_run()
        self.assertNotEqual(self.audit(new_run)["key"], old_id)
        self.assertEqual(self.audit(old_run)["verdict"], "valid")
        self.assertTrue((self.moat_home / "audit" / "old" / (old_id + ".pub")).exists())
        self.verified(self.export(old_run), VALID, key=old_key)
        self.verified(self.export(old_run), TAMPERED)
        self.verified(self.export(new_run), VALID)
        self.verified(self.export(new_run), TAMPERED, key=old_key)
        for path in (self.moat_home / "audit").rglob("*"):
            if path.is_file() and b"PRIVATE" in path.read_bytes():
                self.assertEqual(path.name, "key.pem")
                self.assertEqual(path.stat().st_mode & 0o777, 0o600)


    def test_a_run_that_is_lost_after_a_new_key(self):
        """What it signed is its own key's. The new one says nothing of it, or all there is to say."""
        for signed in (True, False):
            process = self.start(*self.run_arguments("sh", "-c", "echo up; exec sleep 300"))
            self.assertEqual(process.stdout.readline(), b"up\n")
            run = self.last_run()["id"]
            checkpoint = self.directory(run) / "checkpoint"
            if signed:
                wait_for(checkpoint.exists)
            old_key = self.elsewhere / "old-key.pub"
            old_key.write_bytes(self.public_key().read_bytes())
            self.audit_command("key", "--rotate")
            process.kill()
            process.communicate(timeout=30)
            signed = checkpoint.exists()  # of a machine that is slow also the second time
            told = self.moat("list")
            self.assertIn("run %s " % run, told.stderr)
            self.assertEqual("was lost cannot be signed" in told.stderr, signed)
            verdict = self.audit(run, expect=INCOMPLETE)
            self.assertEqual("the supervisor was lost" in verdict["problem"], not signed)
            self.assertGreater(verdict["signed_size"], 0)
            bundle = self.export(run)
            right, wrong = (old_key, self.public_key()) if signed else (self.public_key(), old_key)
            found = self.verified(bundle, INCOMPLETE, key=right)
            self.assertEqual((found["key"], found["lost"]), (verdict["key"], not signed))
            self.verified(bundle, TAMPERED, key=wrong)


class Damaged(Audited):
    """record.mdb changed where it lies: found, or nothing that is attested has changed."""

    def test_changed_bytes(self):
        run = self.whole_run()
        record = self.directory(run) / "record.mdb"
        kept = record.read_bytes()
        bundle = self.export(run)
        chance = random.Random(SEED)
        verdicts = {VALID: 0, TAMPERED: 0, INCOMPLETE: 0}
        used = [n for n in range(0, len(kept), 4096) if any(kept[n:n + 4096])]
        for n in range(120):
            changed = bytearray(kept)
            at = chance.choice(used) + chance.randrange(4096)
            for near in range(at, min(at + chance.choice((1, 1, 4, 64)), len(kept))):
                changed[near] ^= chance.randrange(1, 256)
            record.write_bytes(changed)
            with self.subTest(seed=SEED, n=n, at=at):
                process = self.start("audit", "--json", run)
                out, err = process.communicate(timeout=60)
                self.assertIn(process.returncode, verdicts, (out, err))
                verdicts[process.returncode] += 1
                if process.returncode == VALID:
                    # It was in space that is not used, or in what the page says is not attested.
                    self.assertEqual(self.export(run), bundle)
                for command in (["logs", run], ["trace", "--network", run],
                                ["audit", "export", "-o", "-", run], ["list"]):
                    process = self.start(*command)
                    out, err = process.communicate(timeout=60)
                    self.assertGreaterEqual(process.returncode, 0, (command, err))
        self.assertGreater(verdicts[TAMPERED], 0)
        record.write_bytes(kept)
        self.assertEqual(self.audit(run)["verdict"], "valid")

    def test_a_checkpoint_of_another_run(self):
        run, other = self.whole_run(), self.whole_run()
        place = self.directory(run) / "checkpoint"
        kept = place.read_bytes()
        place.write_bytes((self.directory(other) / "checkpoint").read_bytes())
        self.assertEqual(self.audit(run, expect=TAMPERED)["verdict"], "tampered")
        place.write_bytes(kept[:-20])
        self.assertEqual(self.audit(run, expect=TAMPERED)["verdict"], "tampered")
        place.write_bytes(kept)
        self.assertEqual(self.audit(run)["verdict"], "valid")

    def test_the_record_of_another_run(self):
        run, other = self.whole_run(), self.whole_run()
        place = self.directory(run) / "record.mdb"
        kept = place.read_bytes()
        place.write_bytes((self.directory(other) / "record.mdb").read_bytes())
        self.assertEqual(self.audit(run, expect=TAMPERED)["verdict"], "tampered")
        for size in (0, 100, 4096, 8192, len(kept) // 2, len(kept) - 4096):
            place.write_bytes(kept[:size])
            self.audit_command("--json", run, expect=TAMPERED)
        place.write_bytes(kept)
        self.assertEqual(self.audit(run)["verdict"], "valid")


if __name__ == "__main__":
    harness.main()
