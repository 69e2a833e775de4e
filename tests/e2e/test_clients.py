"""Real clients, through the wall, with a credential that they never see."""

import base64
import json
import hashlib
import os
import subprocess
import unittest

import harness
from harness import ENGINE, PYTHON, MoatTest, UID
from origin import pattern


class Clients(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.grant_github(cls())

    def check_injected(self, path):
        seen = self.seen_at_origin(path)
        self.assertTrue(seen)
        for entry in seen:
            self.assertIn(["Authorization", "Bearer " + self.token], entry["headers"])
            self.assertTrue(entry["tls"])
            self.assertEqual(entry["sni"], "api.github.com")

    def check_user(self, done, path):
        self.assertEqual(json.loads(done.stdout)["login"], "your-username")
        self.assertNotIn(self.token, done.stdout + done.stderr)
        self.check_injected(path)

    def test_curl_as_in_the_mission(self):
        done = self.run_moat("curl", "-s", "https://api.github.com/user",
                             flags=["--grant", "github"])
        self.check_user(done, "/user")
        done = self.run_moat("sh", "-c", "env | grep -i token; true", flags=["--grant", "github"])
        self.assertEqual(done.stdout, "")
        self.assertEqual(self.trace(), [])

    def test_trace_and_logs_and_audit_tell_of_it(self):
        self.run_moat("curl", "-s", "https://api.github.com/user", flags=["--grant", "github"])
        exchange = self.trace()[0]
        self.assertEqual((exchange["method"], exchange["host"], exchange["path"], exchange["status"]),
                         ("GET", "api.github.com", "/user", 200))
        self.assertEqual(exchange["injected"], ["github"])
        self.assertIn("your-username", self.moat("logs").stdout)
        self.assertEqual(self.moat("audit").returncode, 0)
        shown = self.moat("trace", "--network").stdout
        self.assertIn("api.github.com", shown)

    def test_no_grant_no_credential(self):
        done = self.run_moat("curl", "-s", "-w", "%{http_code}", "-o", "/dev/null",
                             "https://api.github.com/user/none")
        self.assertEqual(done.stdout, "401")

    def test_plain_http_never_carries_the_credential(self):
        self.run_moat("curl", "-s", "http://api.github.com/open/plain", flags=["--grant", "github"])
        for entry in self.seen_at_origin("/open/plain"):
            self.assertNotIn("Authorization", [name for name, _ in entry["headers"]])

    def test_node_fetch(self):
        self.check_user(self.run_moat(
            "node", "-e", "fetch('https://api.github.com/user/fetch').then(r => r.text())"
            ".then(t => console.log(t))", flags=["--grant", "github"]), "/user/fetch")

    def test_node_https(self):
        self.check_user(self.run_moat(
            "node", "-e", "require('https').get('https://api.github.com/user/https',"
            "{headers: {'user-agent': 'x'}}, r => r.pipe(process.stdout))",
            flags=["--grant", "github"]), "/user/https")

    def test_python_urllib(self):
        self.check_user(self.run_moat(
            PYTHON, "-c", "import urllib.request as u;"
            "print(u.urlopen('https://api.github.com/user/urllib').read().decode())",
            flags=["--grant", "github"]), "/user/urllib")

    def test_java_trusts_by_its_own_store(self):
        # As tools read it that check its integrity; the images have the store, but not Java.
        done = self.run_moat("base64", "/etc/ssl/certs/java/cacerts")
        store = os.path.join(self.home, "store")
        with open(store, "wb") as file:
            file.write(base64.b64decode(done.stdout))
        listed = subprocess.run(["keytool", "-list", "-keystore", store, "-storepass", "changeit"],
                                capture_output=True, text=True, check=True)
        self.assertEqual(listed.stdout.count("moat-"), 1)
        # What is passed through shows certificates of its own.
        self.write_config("network:\n  passthrough: [pinned.example.test]\n")
        done = self.run_moat("base64", "/etc/ssl/certs/java/cacerts", flags=["--trust-config"])
        with open(store, "wb") as file:
            file.write(base64.b64decode(done.stdout))
        listed = subprocess.run(["keytool", "-list", "-keystore", store, "-storepass", "changeit"],
                                capture_output=True, text=True, check=True)
        self.assertGreater(listed.stdout.count("moat-"), 100)

    if ENGINE == "bubblewrap":
        def test_java(self):
            # Java looks at no bundle and no variable: it has a trust store of its own.
            with open(os.path.join(self.workspace, "Fetch.java"), "w") as program:
                program.write("""
                    import java.net.URI;
                    import java.net.http.*;
                    public class Fetch {
                      public static void main(String[] a) throws Exception {
                        var request = HttpRequest.newBuilder(URI.create(a[0])).build();
                        System.out.print(HttpClient.newHttpClient()
                            .send(request, HttpResponse.BodyHandlers.ofString()).body());
                      }
                    }""")
            self.check_user(self.run_moat("java", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                                          "Fetch.java", "https://api.github.com/user/java",
                                          flags=["--grant", "github"]), "/user/java")

    def test_static_program_without_proxy_support(self):
        done = self.run_moat("busybox", "wget", "-q", "-O", "-",
                             "http://allowed.example.test/open/static")
        self.assertIn('"ok": true', done.stdout)

    def test_explicit_proxy(self):
        for proxy in ("http://proxy.moat.internal:3128", "http://10.9.8.7:8080"):
            done = self.run_moat("curl", "-s", "-x", proxy, "https://api.github.com/user/proxy",
                                 flags=["--grant", "github"])
            self.check_user(done, "/user/proxy")
            done = self.run_moat("curl", "-s", "-x", proxy, "http://allowed.example.test/open/p")
            self.assertIn('"ok": true', done.stdout)

    def test_git_clone_and_push_with_the_basic_form(self):
        bare = self.origin.git_root / "me"
        if not bare.exists():
            bare.mkdir()
            env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null")
            run = lambda *words, cwd=None: subprocess.run(words, check=True, cwd=cwd, env=env,
                                                          capture_output=True)
            work = self.root / "git-work"
            run("git", "init", "-q", "-b", "main", str(work))
            (work / "README").write_text("hello from the origin\n")
            (work / "big").write_bytes(os.urandom(3_000_000))
            run("git", "add", ".", cwd=work)
            run("git", "-c", "user.name=t", "-c", "user.email=t@example.test", "commit", "-qm", "one",
                cwd=work)
            run("git", "clone", "-q", "--bare", str(work), str(bare / "repo.git"))
        done = self.run_moat(
            "sh", "-ec", "git clone -q https://github.com/me/repo.git && cd repo && cat README && "
            "git config user.name a && git config user.email a@example.test && "
            "echo more >> README && git commit -qam two && git push -q origin HEAD:refs/heads/two",
            flags=["--grant", "github"])
        self.assertIn("hello from the origin", done.stdout)
        pushed = subprocess.run(["git", "--git-dir", str(bare / "repo.git"), "-c", "safe.directory=*",
                                 "log", "--oneline", "two"], capture_output=True, text=True,
                                env=dict(os.environ, GIT_CONFIG_COUNT="1",
                                         GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*"))
        self.assertEqual(len(pushed.stdout.splitlines()), 2, pushed.stderr)
        self.assertNotIn(self.token, (self.workspace / "repo/.git/config").read_text())

    def test_large_bodies_arrive_whole(self):
        size = 30_000_000
        expected = hashlib.sha256(pattern(size)).hexdigest()
        at = "https://allowed.example.test"
        for transfer in ("curl -sS %s/bytes/%d | tee big | sha256sum" % (at, size),
                         "curl -sS -T big %s/sink" % at,
                         "curl -sS %s/chunked/%d/7777 | sha256sum" % (at, size),
                         "curl -sS %s/until-close/%d | sha256sum" % (at, size),
                         "curl -sS -H 'Transfer-Encoding: chunked' -T big %s/sink" % at):
            done = self.run_moat("sh", "-ec", transfer)
            self.assertIn(expected, done.stdout, transfer + done.stderr + str(self.trace()))

    def test_a_body_that_was_cut_is_not_taken_for_whole(self):
        done = self.run_moat("curl", "-sS", "-o", "/dev/null", "https://allowed.example.test/cut",
                             expect=None)
        # curl: the transfer was closed with data left, or reset; a stream of HTTP/2 was.
        self.assertIn(done.returncode, (18, 56, 92), done.stderr)
        self.assertFalse(self.trace()[0]["complete"])

    def test_what_came_before_a_cut_is_delivered(self):
        size = 3_000_000
        for url in ("https://allowed.example.test/until-cut/%d" % size,
                    "https://allowed.example.test/cut"):
            done = self.run_moat("sh", "-c", "curl -sS %s > part; wc -c < part" % url, expect=None)
            self.assertEqual(int(done.stdout), 5000 if url.endswith("/cut") else size, done.stderr)
            if url.endswith("/cut"):  # where a length was promised, curl complains
                self.assertIn("curl: (", done.stderr)
            self.assertFalse(self.trace()[0]["complete"])

    def test_streams_arrive_as_they_are_sent(self):
        done = self.run_moat(
            PYTHON, "-c",
            "import urllib.request as u, time\n"
            "for line in u.urlopen('https://allowed.example.test/stream/5'):\n"
            "  if line.startswith(b'data'): print(time.time() - float(line.split()[2]))")
        ages = [float(line) for line in done.stdout.split()]
        self.assertEqual(len(ages), 5)
        self.assertLess(max(ages), 0.3)  # held back to the end, the first would be 0.4 old

    def test_echoed_secret_does_not_come_back(self):
        done = self.run_moat("curl", "-si", "https://api.github.com/echo", "-d", "x=1",
                             flags=["--grant", "github"])
        self.assertIn("200", done.stdout)
        self.assertIn("Bearer ****", done.stdout)
        self.assertNotIn(self.token, done.stdout)
        self.assertNotIn(self.token.encode().hex(), done.stdout)
        self.assertGreater(self.trace()[0]["scrubbed"], 2)

    def test_foreign_credential_is_replaced(self):
        self.run_moat("curl", "-s", "https://api.github.com/open/foreign", "-H",
                      "Authorization: Bearer somebody-elses", "-H", "X-Api-Key: k",
                      flags=["--grant", "github"])
        entry = self.seen_at_origin("/open/foreign")[0]
        names = [name.lower() for name, _ in entry["headers"]]
        self.assertEqual(names.count("authorization"), 1)
        self.assertIn(["Authorization", "Bearer " + self.token], entry["headers"])
        self.assertNotIn("x-api-key", names)

    def test_redirect_does_not_carry_the_credential(self):
        self.run_moat("curl", "-sL", "https://api.github.com/redirect?to="
                      "https://evil.example.test/open/redirected", flags=["--grant", "github"])
        entry = self.seen_at_origin("/open/redirected")[0]
        self.assertNotIn("authorization", [name.lower() for name, _ in entry["headers"]])

    def test_files_of_the_workspace_belong_to_the_user(self):
        self.run_moat("sh", "-c", "echo hi > made && mkdir dir && id -u")
        for name in ("made", "dir"):
            status = (self.workspace / name).stat()
            self.assertEqual((status.st_uid, status.st_gid), (UID, UID))

    def test_dependency_selects_the_image_or_the_hosts_own_node(self):
        major = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout[1:].split(".")[0]
        wanted = "20" if ENGINE == "docker" else major
        self.write_config("dependencies:\n  - node@%s\n" % wanted)
        done = self.run_moat("node", "--version")
        self.assertTrue(done.stdout.startswith("v"))
        self.assertEqual(self.last_run()["image"], "node:20" if ENGINE == "docker" else "host")
        if ENGINE == "bubblewrap":
            self.write_config("dependencies:\n  - node@3\n")
            done = self.run_moat("node", "--version", expect=125)
            self.assertIn("node", done.stderr)


if __name__ == "__main__":
    harness.main()
