"""The AWS grant, by AWS's own tools, against a server that verifies as AWS does."""

import base64
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import time
import unittest

import harness
import test_secrets
from harness import HERE, MoatTest, wait_for

HOSTS = ("s3.us-east-1.amazonaws.com", "bucket.s3.us-east-1.amazonaws.com", "bucket.s3.amazonaws.com",
         "s3.amazonaws.com", "dynamodb.us-east-1.amazonaws.com", "sts.us-east-1.amazonaws.com",
         "sts.amazonaws.com", "iam.amazonaws.com", "abc.execute-api.us-east-1.amazonaws.com",
         "minio.example.test", "bucket.minio.example.test")


def have(program):
    return subprocess.run(["/usr/bin/python3", "-c", "import " + program],
                          stderr=subprocess.DEVNULL).returncode == 0


@unittest.skipUnless(have("boto3") and os.path.exists("/usr/bin/aws"), "no awscli and boto3 here")
class AwsTest(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        from aws_origin import AwsOrigin  # with what comes with awscli
        cls.aws = AwsOrigin(cls.root / "aws", HERE / "pki.sh")
        cls.key = "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOP") for _ in range(16))
        cls.secret = base64.b64encode(secrets.token_bytes(30)).decode()
        cls.aws.verifier.keys[cls.key] = (cls.secret, None)

    @classmethod
    def tearDownClass(cls):
        cls.aws.stop()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.aws.seen.clear()
        self.aws.roles.clear()
        self.aws.role_seconds = 3600
        self.aws.role_denied = False

    @classmethod
    def origin_flags(cls):
        flags = ["--upstream-ca", cls.aws.ca]
        for host in HOSTS:
            flags += ["--connect-to", "%s:443=127.0.0.1:%d" % (host, cls.aws.port)]
        return flags

    def grant(self, *flags, keys=None, expect=0, env=None, **options):
        key, secret, *token = keys or (self.key, self.secret)
        env = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret} if env is None else env
        if token:
            env["AWS_SESSION_TOKEN"] = token[0]
        done = self.moat("grant", "aws", "--region", "us-east-1", *self.origin_flags(), *flags,
                         env=env, **options)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.assertNotIn(secret, done.stdout + done.stderr)
        return done

    def in_sandbox(self, *command, expect=0, flags=()):
        return self.run_moat(*command, flags=["--grant", "aws", *flags], expect=expect)

    def raw(self, what):
        done = self.in_sandbox("/usr/bin/python3", self.script("aws_raw.py"), what)
        return done.stdout.strip()

    def assert_all_good(self, key=None):
        for entry in self.aws.seen:
            self.assertTrue(entry["good"], entry)
            if key:
                self.assertEqual(entry["key"], key)


class Clients(AwsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.grant(cls())

    def test_the_cli(self):
        done = self.in_sandbox(
            "sh", "-ec", "echo hello > f; aws s3 cp f s3://bucket/f; aws s3 cp s3://bucket/f g; "
            "cat g; head -c 12000000 /dev/urandom > large; aws s3 cp large s3://bucket/large; "
            "aws dynamodb list-tables; aws sts get-caller-identity; aws iam list-users; "
            "curl -fsS \"$(aws s3 presign s3://bucket/f)\"")
        self.assertEqual(done.stdout.count("hello\n"), 2)
        self.assertIn('"things"', done.stdout)
        self.assertIn("user/" + self.key, done.stdout)
        self.assert_all_good(self.key)
        large = (self.workspace / "large").read_bytes()
        self.assertEqual(self.aws.objects["bucket/large"], large)
        entries = [entry for entry in self.trace() if "amazonaws" in entry["host"]]
        self.assertEqual({tuple(entry["injected"]) for entry in entries}, {("aws",)})
        self.assertTrue(any(entry["presigned"] for entry in self.aws.seen))

    def test_boto3(self):
        done = self.in_sandbox("/usr/bin/python3", self.script("aws_sdk.py"))
        self.assertEqual(done.stdout, "all of it\n")
        self.assert_all_good(self.key)
        kinds = {entry["payload"] for entry in self.aws.seen}
        self.assertIn("STREAMING-UNSIGNED-PAYLOAD-TRAILER", kinds)
        self.assertIn("UNSIGNED-PAYLOAD", kinds)

    def test_curl_over_http2(self):
        done = self.in_sandbox(
            "sh", "-ec", "curl -sS --http2 -w '%{http_version}' --aws-sigv4 aws:amz:us-east-1:dynamodb "
            "--user \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\" -d '{}' "
            "-H 'X-Amz-Target: DynamoDB_20120810.ListTables' "
            "-H 'Content-Type: application/x-amz-json-1.0' https://dynamodb.us-east-1.amazonaws.com/")
        self.assertEqual(done.stdout, '{"TableNames": ["things"]}2')
        self.assert_all_good(self.key)

    def test_a_signature_for_several_regions(self):
        self.aws.objects["/bucket/chunks and+more"] = b"found"
        said = self.raw("several-regions")
        self.assertEqual(said.split("\n"), ["200 found", "200 found"], said)
        self.assert_all_good(self.key)
        self.assertEqual({entry["algorithm"] for entry in self.aws.seen}, {"AWS4-ECDSA-P256-SHA256"})

    def test_signed_chunks(self):
        self.assertEqual(self.raw("chunks").split(), ["200", "200"])
        self.assert_all_good(self.key)
        whole = b"a" * 65536 + b"b" * 65536 + b"c" * 1000
        self.assertEqual(self.aws.objects["/bucket/chunks-False"], whole)
        self.assertEqual(self.aws.objects["/bucket/chunks-True"], whole)

    def test_what_the_sandbox_has_is_no_key(self):
        done = self.in_sandbox("sh", "-c", "env")
        variables = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        self.assertTrue(variables["AWS_ACCESS_KEY_ID"].startswith("AKIAMOAT"))
        self.assertEqual(len(variables["AWS_SECRET_ACCESS_KEY"]), 40)
        self.assertEqual(variables["AWS_REGION"], "us-east-1")
        self.assertNotIn(self.key, done.stdout)
        self.assertNotIn(self.secret, done.stdout)
        again = self.in_sandbox("sh", "-c", "echo $AWS_SECRET_ACCESS_KEY").stdout
        self.assertNotEqual(again.strip(), variables["AWS_SECRET_ACCESS_KEY"])
        own = self.in_sandbox("sh", "-c", "echo $AWS_REGION", flags=["-e", "AWS_REGION=eu-west-1"])
        self.assertEqual(own.stdout, "eu-west-1\n")

    def assert_absent(self, data, where):
        for form in test_secrets.forms(self.secret):
            self.assertNotIn(form, data, where)

    def test_the_secret_is_not_in_memory_either(self):
        if os.getuid() != 0:
            self.skipTest("only root can look into a sandbox from outside")
        process = self.start(*self.run_arguments(
            "sh", "-c", "aws sts get-caller-identity > answer; touch done; sleep 60",
            flags=["--grant", "aws"]))
        try:
            wait_for(lambda: (self.workspace / "done").exists())
            inside = test_secrets.Secrets.processes_inside(self)
            self.assertGreaterEqual(len(inside), 2)  # moat-init and the shell
            for pid in inside:
                try:
                    for name in ("environ", "cmdline"):
                        path = pathlib.Path("/proc/%d/%s" % (pid, name))
                        self.assert_absent(path.read_bytes(), path)
                    test_secrets.Secrets.search_memory(self, pid)
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has ended since it was listed
            self.assertIn(self.key.encode(), (self.workspace / "answer").read_bytes())
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def test_the_secret_is_nowhere(self):
        self.in_sandbox("sh", "-c", "aws s3 cp s3://bucket/none - ; aws sts get-caller-identity; env; "
                        "cat /proc/*/environ; true")
        for top in (self.moat_home, self.workspace):
            for path in pathlib.Path(top).rglob("*"):
                if path.is_file():
                    self.assert_absent(path.read_bytes(), path)
        for words in (["logs"], ["trace", "--network", "-v"], ["audit", "--json"]):
            done = self.moat(*words)
            self.assert_absent((done.stdout + done.stderr).encode(), words)

    def test_a_strict_policy_lets_it_pass(self):
        self.write_config("network:\n  policy: strict\n")
        self.in_sandbox("aws", "sts", "get-caller-identity")
        self.assert_all_good(self.key)


class Attacks(AwsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.grant(cls())

    def refused(self, what, reason, status="403"):
        self.aws.seen.clear()
        said = self.raw(what)
        self.assertTrue(said.startswith(status), said)
        self.assertIn(reason, said)
        self.assertEqual(self.aws.seen, [])
        entry = self.trace()[-1]
        self.assertEqual(entry["injected"], [])

    def test_a_changed_request(self):
        self.refused("changed", "does not fit it")

    def test_a_changed_body(self):
        self.refused("body", "does not fit it")

    def test_a_foreign_key(self):
        self.refused("foreign", "AKIAFOREIGNFOREIGN00, which is not that of this run")

    def test_a_foreign_presigned_url(self):
        self.refused("foreign-presigned", "AKIAFOREIGNFOREIGN00, which is not that of this run")

    def test_a_forged_signature(self):
        self.refused("forged", "does not fit it")

    def test_an_old_signature(self):
        self.refused("old", "an older version", "501")

    def test_a_host_of_a_customer(self):
        self.refused("customer", "served by a customer of AWS")

    def test_a_body_that_is_too_large(self):
        self.refused("huge", "", "413")

    def test_what_is_answered_with_credentials(self):
        """All of these would be real keys in the sandbox."""
        self.aws.seen.clear()
        for words in ("sts get-session-token", "sts get-federation-token --name someone",
                      "sts assume-role --role-arn arn:aws:iam::123456789012:role/other --role-session-name someone",
                      "iam create-access-key --user-name someone"):
            done = self.in_sandbox("sh", "-c", "aws %s" % words, expect=None)
            self.assertNotEqual(done.returncode, 0, words)
            entry = self.trace()[-1]
            self.assertIn("answered with credentials", entry["reason"], words)
            self.assertEqual((entry["status"], entry["injected"]), (403, []))
        self.assertEqual(self.aws.seen, [])

    def test_damaged_chunks(self):
        said = self.raw("damaged-chunks")
        self.assertIn("not what was signed", said)
        self.assertNotIn("/bucket/chunks-False", self.aws.objects)

    def test_other_credentials_are_removed(self):
        said = self.raw("bearer")
        self.assertTrue(said.startswith("200"), said)
        self.assertNotIn("foreign", said)
        self.assertEqual(sorted(self.trace()[-1]["stripped"]),
                         ["Authorization", "X-Amz-Security-Token"])

    def test_nothing_is_signed_in_the_clear(self):
        done = self.in_sandbox(
            "sh", "-c", "aws s3 ls s3://bucket --endpoint-url http://s3.us-east-1.amazonaws.com; true")
        self.assertEqual(self.aws.seen, [])
        self.assertTrue(any("over TLS only" in entry["reason"] for entry in self.trace()),
                        done.stderr)


class TemporaryKeys(AwsTest):
    def test_the_token_is_sent_and_never_comes_back(self):
        token = base64.b64encode(secrets.token_bytes(90)).decode()
        key = "ASIA" + "Q" * 16
        self.aws.verifier.keys[key] = (self.secret, token)
        self.grant(keys=(key, self.secret, token))
        self.in_sandbox("/usr/bin/python3", self.script("aws_sdk.py"))
        self.assert_all_good(key)
        said = self.raw("echo")
        self.assertTrue(said.startswith("200"), said)
        self.assertIn(key, said)
        self.assertNotIn(token, said)
        self.assertIn("*" * 32, said)
        # A server that does not know the key says all that it got.
        del self.aws.verifier.keys[key]
        self.assertNotIn(token, self.raw("echo"))
        for path in pathlib.Path(self.moat_home).rglob("*"):
            if path.is_file():
                self.assertNotIn(token.encode(), path.read_bytes(), path)

    def test_keys_that_have_expired(self):
        process = json.dumps({"Version": 1, "AccessKeyId": self.key, "SecretAccessKey": self.secret,
                              "SessionToken": "t" * 40, "Expiration": "2020-01-01T00:00:00Z"})
        self.grant("--token-stdin", "--no-check", env={}, input=process)
        done = self.in_sandbox("true", expect=125)
        self.assertIn("expired at 2020-01-01T00:00:00Z, run 'moat grant aws' again", done.stderr)
        shown = self.moat("grant", "show", "aws").stdout
        self.assertIn("Type:       keys\n", shown)
        self.assertIn("Expires:    2020-01-01T00:00:00Z\n", shown)


class Role(AwsTest):
    arn = "arn:aws:iam::123456789012:role/agent"

    def test_a_role_is_assumed_and_kept_up(self):
        done = self.grant("--role", self.arn, "--external-id", "of, theirs & mine",
                          "--session-duration", "900", "--json")
        facts = json.loads(done.stdout)
        self.assertEqual(facts["role"], self.arn)
        self.assertEqual(facts["login"], self.arn + "/moat-grant")
        self.assertNotIn("theirs", done.stdout)
        self.aws.role_seconds = 4  # renewed after two
        self.aws.roles.clear()
        self.aws.seen.clear()
        self.in_sandbox("sh", "-ec", "for i in 1 2 3 4; do aws sts get-caller-identity; sleep 1.5; done")
        self.assert_all_good()
        self.assertGreaterEqual(len(self.aws.roles), 3)
        form = self.aws.roles[0]
        self.assertEqual(form["RoleArn"], self.arn)
        self.assertEqual(form["ExternalId"], "of, theirs & mine")
        self.assertEqual(form["DurationSeconds"], "900")
        self.assertEqual(form["RoleSessionName"], "moat-" + self.last_run()["id"])
        agents = [entry["key"] for entry in self.aws.seen if entry["key"] != self.key]
        self.assertGreaterEqual(len(set(agents)), 2)
        self.assertTrue(all(key.startswith("ASIA") for key in agents))

    def test_a_role_that_is_denied(self):
        self.aws.role_denied = True
        done = self.grant("--role", self.arn, expect=1)
        self.assertIn("403 AccessDenied: User is not authorized to perform: sts:AssumeRole",
                      done.stderr)
        self.grant("--role", self.arn, "--no-check")
        done = self.in_sandbox("sh", "-c", "AWS_MAX_ATTEMPTS=1 aws sts get-caller-identity; true")
        self.assertTrue(any("cannot be assumed" in entry["reason"] for entry in self.trace()))


class Obtaining(AwsTest):
    def test_from_the_files_of_the_cli(self):
        directory = self.home / ".aws"
        directory.mkdir(exist_ok=True)
        (directory / "credentials").write_text(
            "[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n\n"
            "[work]\naws_access_key_id=%s\naws_secret_access_key=%s\n" % (self.key, self.secret))
        try:
            done = self.grant("--aws-profile", "work", "--json", env={})
            facts = json.loads(done.stdout)
            self.assertEqual(facts["login"], "arn:aws:iam::123456789012:user/" + self.key)
            self.assertEqual(facts["last_four"], self.key[-4:])
            self.assertIn("[work]", facts["source"])
            done = self.grant(env={}, expect=1)
            self.assertIn("nothing was stored", done.stderr)
        finally:
            shutil.rmtree(directory)

    def test_from_the_cli_itself(self):
        directory = self.home / ".aws"
        directory.mkdir(exist_ok=True)
        script = self.home / "keys.sh"
        script.write_text("#!/bin/sh\necho '%s'\n" % json.dumps(
            {"Version": 1, "AccessKeyId": self.key, "SecretAccessKey": self.secret}))
        script.chmod(0o755)
        (directory / "config").write_text("[profile tool]\ncredential_process = %s\nregion = "
                                          "us-east-1\n" % script)
        try:
            facts = json.loads(self.grant("--aws-profile", "tool", "--json", env={}).stdout)
            self.assertEqual(facts["source"], "aws configure export-credentials")
        finally:
            shutil.rmtree(directory)

    def test_keys_of_the_cli_that_end_are_asked_for_again(self):
        directory = self.home / ".aws"
        directory.mkdir(exist_ok=True)
        script = self.home / "keys.py"
        # Each time others, as single sign-on gives them.
        for number in range(10):
            self.aws.verifier.keys["ASIA%016d" % number] = ("secret-%d" % number, "token-%d" % number)
        script.write_text(
            "#!/usr/bin/python3\nimport json, os, time\n"
            "path = %r\nn = os.path.getsize(path) if os.path.exists(path) else 0\n"
            "open(path, 'a').write('x')\n"
            "n = n %% 10\n"
            "print(json.dumps({'Version': 1, 'AccessKeyId': 'ASIA%%016d' %% n, 'SecretAccessKey': "
            "'secret-%%d' %% n, 'SessionToken': 'token-%%d' %% n, 'Expiration': "
            "time.strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ', time.gmtime(time.time() + 6))}))\n"
            % str(self.home / "count"))
        script.chmod(0o755)
        (directory / "config").write_text("[profile sso]\ncredential_process = %s\n" % script)
        try:
            self.grant("--aws-profile", "sso", env={})
            self.aws.seen.clear()
            time.sleep(6)  # those that are stored have ended
            self.in_sandbox("sh", "-ec", "for i in 1 2 3; do aws sts get-caller-identity; sleep 3; done")
            self.assert_all_good()
            self.assertGreaterEqual(len({entry["key"] for entry in self.aws.seen}), 2)
        finally:
            shutil.rmtree(directory)

    def test_where_there_are_none(self):
        done = self.grant(env={}, expect=1)
        self.assertIn("give them with --token-stdin", done.stderr)

    def test_options_that_mean_nothing(self):
        for flags, why in ((["--external-id", "x"], "name it with --role"),
                           (["--role", "agent"], "is not arn:aws:iam::ACCOUNT:role/NAME"),
                           (["--role", "arn:aws:iam::123456789012:role/a", "--session-duration", "1"],
                            "from 900 to 43200"),
                           (["--client-id", "x"], "means nothing to 'moat grant aws'"),
                           (["--region", "a b"], "is not a region")):
            done = self.moat("grant", "aws", *flags)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(why, done.stderr)
        done = self.moat("grant", "github", "--role", "x")
        self.assertEqual(done.returncode, 2)
        self.assertIn("for 'moat grant aws' only", done.stderr)

    def test_a_server_of_ones_own(self):
        self.grant("--host", "minio.example.test")
        self.in_sandbox("/usr/bin/python3", "-c", "import boto3\n"
                        "s3 = boto3.client('s3', endpoint_url='https://minio.example.test')\n"
                        "s3.put_object(Bucket='bucket', Key='k', Body=b'x')",
                        flags=["--allow-host", "minio.example.test local"])
        self.assert_all_good(self.key)
        self.assertEqual(self.aws.seen[-1]["host"], "minio.example.test")

    def test_a_provider_that_signs(self):
        """As for any service that speaks S3: a file says so, and nothing of it is AWS's."""
        folder = self.moat_home / "providers"
        for part in (self.moat_home, folder):
            if not part.exists():
                self.make_dir(part)
                os.chmod(part, 0o700)
        (folder / "store.yaml").write_text(
            "name: store\ntitle: Store\nhost: minio.example.test\n"
            "hosts:\n  - {host: '{host}', sigv4: true}\nsources:\n  - prompt: KEY_ID:SECRET\n"
            "env:\n  AWS_ACCESS_KEY_ID: '{access_key}'\n  AWS_SECRET_ACCESS_KEY: '{secret_key}'\n"
            "  AWS_ENDPOINT_URL: 'https://{host}'\n  AWS_DEFAULT_REGION: us-east-1\n")
        self.addCleanup((folder / "store.yaml").unlink)
        for credential, good in (("no-colon", False), (self.key + ":" + self.secret, True)):
            granted = self.moat("grant", "store", "--token-stdin", input=credential + "\n")
            self.assertEqual(granted.returncode, 0, granted.stderr)
            self.aws.seen.clear()
            done = self.run_moat("/usr/bin/python3", "-c", "import boto3\n"
                                 "s3 = boto3.client('s3', endpoint_url='https://minio.example.test')\n"
                                 "s3.put_object(Bucket='bucket', Key='by-file', Body=b'x')\nprint('stored')",
                                 flags=["--grant", "store", "--allow-host", "minio.example.test local"],
                                 expect=0 if good else 125)
            self.assertNotIn(self.secret, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "stored\n")
        self.assertEqual(len(self.aws.seen), 1)
        self.assert_all_good(self.key)
        self.assertEqual(self.trace()[-1]["injected"], ["store"])

    def test_missing(self):
        self.moat("revoke", "aws")
        done = self.in_sandbox("true", expect=125)
        self.assertIn("no AWS credential is stored, run 'moat grant aws'", done.stderr)


class Proxy(AwsTest):
    def test_clients_outside_are_told_what_to_sign_with(self):
        self.grant()
        ca = self.home / "ca.pem"
        process = self.start("proxy", "--listen", "127.0.0.1:0", "--ca-out", ca, "--grant", "aws",
                             *self.origin_flags())
        said = {}
        port = None
        while "AWS_SECRET_ACCESS_KEY" not in said or port is None:
            line = process.stderr.readline().decode()
            self.assertTrue(line, "it ended")
            if line.startswith("aws: "):
                name, value = line[5:].strip().split("=", 1)
                said[name] = value
            if "listening on" in line:
                port = line.split("listening on ")[1].split(",")[0].rsplit(":", 1)[1]
        env = self.environment(dict(said, AWS_CA_BUNDLE=str(ca), AWS_REGION="us-east-1",
                                    HTTPS_PROXY="http://127.0.0.1:" + port))
        done = subprocess.run(["/usr/bin/aws", "dynamodb", "list-tables"], env=env,
                              capture_output=True, timeout=60)
        self.assertIn(b"things", done.stdout, done.stderr)
        self.assertEqual(self.aws.seen[-1]["key"], self.key)
        process.terminate()
        process.communicate(timeout=20)


if __name__ == "__main__":
    harness.main()
