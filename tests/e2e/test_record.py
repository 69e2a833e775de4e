"""What is on record of a run: every kind of event, as moat-audit(5) describes it, and who asked."""

import json
import os
import pathlib
import re
import signal
import unittest

import harness
from harness import MoatTest, UID, wait_for

PAGE = harness.HERE.parent.parent / "man/moat-audit.5"


def described():
    """{type: {member}}, of the page's section DATA."""
    text = PAGE.read_text()
    section = text[text.index("\n.Sh DATA\n"):text.index("\n.Sh TREE\n")]
    found = {}
    kind = None
    for line in section.splitlines():
        if line.startswith(".Ss "):
            kind = line[4:]
        elif line.startswith(".It Va "):
            found.setdefault(kind, set()).update(re.findall(r"Va (\w+)", line))
    return found


class Record(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.grant_github(cls())

    def records(self, run=""):
        done = self.moat("audit", "export", "-o", "-", *([run] if run else []))
        self.assertIn(done.returncode, (0, 3), done.stderr)  # 3: of a run that was lost
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return [line for line in lines if "data" in line and "type" in line]

    def of_type(self, kind, run=""):
        return [record["data"] for record in self.records(run) if record["type"] == kind]

    def started(self, *command, flags=()):
        """A run in the background whose command has begun; its id and its supervisor."""
        done = self.run_moat(*command, flags=["-d", *flags])
        run = done.stdout.strip()
        return run, next(one for one in self.runs() if one["id"] == run)["pid"]

    def asked(self, pid, number):
        """Has it taken that signal, or is it still on its way?"""
        status = pathlib.Path("/proc/%d/status" % pid).read_text()
        waiting = int(re.search(r"^ShdPnd:\s*(\w+)", status, re.M).group(1), 16)
        return not waiting >> (number - 1) & 1

    def ended(self, run):
        wait_for(lambda: next(one for one in self.runs() if one["id"] == run)["state"] == "ended")

    def test_every_member_is_described_and_every_description_true(self):
        self.write_config("network:\n  policy: strict\n  rules:\n    - allowed.example.test\n")
        self.run_moat("sh", "-c", "echo out; curl -s https://api.github.com/user; "
                      "curl -s https://allowed.example.test/open/x -d a=b; "
                      "curl -s https://evil.example.test/; true",
                      flags=["--grant", "github", "-e", "ONE=two", "-m", "%s:/mnt/ca:ro" % self.origin.ca])
        self.run_moat("no-such-command", expect=127)
        run, supervisor = self.started("sh", "-c", "trap : USR1; trap '' TERM; echo up; "
                                       "while :; do sleep 0.1; done")
        os.kill(supervisor, signal.SIGUSR1)
        self.assertEqual(self.moat("stop", "-t", "0", run).returncode, 0)
        run, supervisor = self.started("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
        os.kill(supervisor, signal.SIGTERM)
        wait_for(lambda: self.asked(supervisor, signal.SIGTERM))
        os.kill(supervisor, signal.SIGTERM)
        self.ended(run)
        lost, supervisor = self.started("sleep", "60")
        os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: next(one for one in self.runs() if one["id"] == lost)["state"] == "lost")
        wall = self.start("proxy", "--listen", "127.0.0.1:0", "--ca-out", self.home / "wall.pem")
        wall.stderr.readline()
        wall.terminate()
        wall.communicate(timeout=20)

        seen = {}
        for run in self.runs():
            for record in self.records(run["id"]):
                seen.setdefault(record["type"], set()).update(record["data"])
        page = described()
        page.pop("requests.refused")  # a full disk: tests/e2e/test_durability.py
        for kind in ("ssh.signed", "ssh.refused"):  # an agent: tests/e2e/test_ssh.py
            page.pop(kind)
        page.pop("secret.refreshed")  # these two: tests/e2e/test_refresh.py
        page.pop("secret.stale")
        page.pop("secret.minted")  # tests/e2e/test_registries.py
        self.assertEqual(sorted(seen), sorted(page))
        for kind in page:
            self.assertEqual(sorted(seen[kind]), sorted(page[kind]), kind)

    def test_who_asked_is_on_record(self):
        run, supervisor = self.started("sh", "-c", "trap 'touch got' USR1; touch ready; "
                                       "while :; do sleep 0.1; done")
        wait_for(lambda: (self.workspace / "ready").exists())
        os.kill(supervisor, signal.SIGUSR1)
        wait_for(lambda: (self.workspace / "got").exists())
        stop = self.start("stop", run)
        stop.communicate(timeout=30)
        self.ended(run)
        asked = self.of_type("signal", run)[0]
        self.assertEqual(asked, {"by": "signal", "pid": os.getpid(), "uid": os.getuid(),
                                 "signal": signal.SIGUSR1})
        asked = self.of_type("stop", run)[0]
        self.assertEqual(asked, {"by": "moat stop", "pid": stop.pid, "uid": UID,
                                 "grace_ms": 10000})
        self.assertEqual(self.of_type("run.ended", run)[0]["signal"], signal.SIGTERM)

    def test_a_secret_in_a_variable_is_told_but_not_shown(self):
        value = "only-the-sandbox-sees-this-4711"
        (self.moat_home / "given").write_text(value + "\n")
        self.write_config("secrets:\n  FROM_FILE: file://%s/given\n" % self.moat_home)
        refused = self.moat("run", str(self.workspace), "--", "true")
        self.assertEqual(refused.returncode, 125)
        self.assertRegex(refused.stderr,
                         r"agent\.yaml:\d+:14: secrets gives FROM_FILE to the sandbox")
        self.assertIn("--trust-config", refused.stderr)
        done = self.run_moat("sh", "-c", "echo $FROM_FILE $FROM_COMMAND",
                             flags=["--trust-config", "--secret", "FROM_COMMAND=cmd://echo " + value])
        self.assertEqual(done.stdout, value + " " + value + "\n")
        for name in ("FROM_FILE", "FROM_COMMAND"):
            self.assertIn("the sandbox can see the secret in " + name, done.stderr)
        told = {data["variable"]: data["source"] for data in self.of_type("secret.resolved")}
        self.assertEqual(told["FROM_FILE"], "file://%s/given" % self.moat_home)
        self.assertEqual(sorted(told), ["FROM_COMMAND", "FROM_FILE"])
        record = self.moat_home / "runs" / self.last_run()["id"] / "record.mdb"
        self.assertNotIn(value.encode(), record.read_bytes())

    def test_what_a_run_was_made_of(self):
        self.write_config("network:\n  policy: strict\n  rules:\n    - allowed.example.test:\n"
                          "        - allow GET /open/**\n")
        self.run_moat("true", flags=["--grant", "github", "-e", "SECRET_THING=never-shown"])
        made = self.of_type("run.created")[0]
        self.assertEqual(made["policy"], "strict")
        rule = next(rule for rule in made["hosts"] if rule["host"] == "allowed.example.test")
        self.assertRegex(rule["where"], r"agent\.yaml:\d+$")
        self.assertRegex(rule["lines"][0]["where"], r"agent\.yaml:\d+$")
        self.assertEqual(made["env"], ["SECRET_THING"])
        self.assertEqual(made["grants"], [{"name": "github", "where": "--grant"}])
        self.assertEqual(made["uid"], UID)
        self.assertTrue(made["kernel"].startswith("Linux "))
        self.assertIn("mbedtls", made["libraries"])
        self.assertNotIn("never-shown", json.dumps(self.records()))
        resolved = self.of_type("secret.resolved")[0]
        self.assertEqual((resolved["grant"], resolved["profile"]), ("github", ""))
        self.assertIn("api.github.com", resolved["hosts"])
        proof = self.of_type("seal.proved")[0]
        self.assertIn("interfaces: lo", proof["proof"])
        self.assertTrue(proof["engine_version"])

    def test_every_refusal_is_on_record(self):
        self.write_config("network:\n  policy: strict\n  rules:\n    - allowed.example.test:\n"
                          "        - allow GET /open/**\n")
        self.run_moat(
            "sh", "-c",
            "curl -s https://refused.example.test/; "                        # by its name
            "curl -s https://allowed.example.test/closed; "                  # by its path
            "curl -s https://allowed.example.test/open/x -H 'Host: other.example.test'; "
            "curl -s --cacert /dev/null https://allowed.example.test/open/y; "  # TLS fails
            "curl -s http://192.0.2.7/; "                                    # an address
            "exec 3<>/dev/tcp/192.0.2.8/22 && echo hello >&3 && cat <&3; true".replace(
                "exec 3", "bash -c 'exec 3").replace("cat <&3;", "cat <&3';"))
        dns = [record for record in self.of_type("dns") if record["reason"]]
        self.assertIn("refused.example.test", [record["name"] for record in dns])
        exchanges = self.of_type("exchange")
        ids = [exchange["request_id"] for exchange in exchanges]
        self.assertEqual(len(set(ids)), len(ids))
        for one in ids:
            self.assertRegex(one, "^[0-9a-f]{16}$")

        def told(**wanted):
            found = [e for e in exchanges if all(e[name] == value for name, value in wanted.items())]
            self.assertTrue(found, wanted)
            self.assertTrue(found[0]["reason"], wanted)
            return found[0]

        told(path="/closed", status=403, refused=True)
        told(path="/open/x", status=421, refused=True)
        self.assertIn("TLS", told(scheme="tls", host="allowed.example.test")["reason"])
        told(wanted="192.0.2.7:80", refused=True)
        told(wanted="192.0.2.8:22", refused=True)

    def test_bodies_are_recorded_unless_that_is_turned_off(self):
        request = ("curl", "-s", "--compressed", "https://allowed.example.test/gzip", "-d", "a=b")
        self.run_moat(*request)
        exchange = self.of_type("exchange")[0]
        self.assertEqual(exchange["client_version"], "HTTP/2")
        self.assertEqual(exchange["request_body"], "a=b")
        self.assertEqual(exchange["response_body"], "compressed " * 100)
        self.assertFalse(exchange["response_body_cut"])
        config = self.moat_home / "config.yaml"
        config.write_text("audit: {bodies: false}\n")
        os.chown(config, UID, UID)
        try:
            self.run_moat(*request)
        finally:
            config.unlink()
        exchange = self.of_type("exchange")[0]
        self.assertEqual(exchange["response_bytes"] > 0, True)
        self.assertNotIn("request_body", exchange)
        self.assertNotIn("response_body", exchange)
        self.assertFalse(self.of_type("run.created")[0]["bodies"])


if __name__ == "__main__":
    harness.main()
