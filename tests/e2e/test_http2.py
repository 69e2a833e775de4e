"""Real clients that speak HTTP/2, through the wall, to an origin that speaks HTTP/1.1."""

import hashlib
import json
import unittest

import harness
from harness import MoatTest
from origin import pattern

AT = "https://allowed.example.test"


class Http2(MoatTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.grant_github(cls())

    def node(self, *names):
        done = self.run_moat("node", self.script("http2.js"), *names)
        return json.loads(done.stdout)

    def test_curl_agrees_on_it(self):
        done = self.run_moat("curl", "-s", "-w", "%{http_version}", "https://api.github.com/user",
                             flags=["--grant", "github"])
        self.assertTrue(done.stdout.endswith("}\n2"), done.stdout)
        self.assertIn("your-username", done.stdout)
        exchange = self.trace()[0]
        self.assertEqual((exchange["status"], exchange["injected"]), (200, ["github"]))
        self.assertIn(["Authorization", "Bearer " + self.token],
                      self.seen_at_origin("/user")[0]["headers"])

    def test_curl_knows_it_before_and_in_clear_text(self):
        for url in (AT + "/open", "http://allowed.example.test/open"):
            done = self.run_moat("curl", "-s", "--http2-prior-knowledge", "-w", "%{http_version}", url)
            self.assertTrue(done.stdout.endswith("}\n2"), done.stdout)

    def test_curl_may_still_speak_the_older_one(self):
        done = self.run_moat("curl", "-s", "--http1.1", "-w", "%{http_version}", AT + "/open")
        self.assertTrue(done.stdout.endswith("}\n1.1"), done.stdout)

    def test_an_upgrade_to_it_is_not_taken(self):
        done = self.run_moat("curl", "-s", "--http2", "-w", "%{http_version}",
                             "http://allowed.example.test/open")
        self.assertTrue(done.stdout.endswith("}\n1.1"), done.stdout)

    def test_curl_asks_side_by_side(self):
        done = self.run_moat("curl", "-sS", "--parallel", "--parallel-immediate", "-o", "/dev/null",
                             "-w", "%{http_code} %{http_version}\n", AT + "/bytes/[1000-1080]")
        lines = done.stdout.split("\n")
        self.assertEqual(lines.count("200 2"), 81, done.stdout)

    def test_curl_uploads_and_downloads_large_bodies(self):
        size = 30_000_000
        expected = hashlib.sha256(pattern(size)).hexdigest()
        for transfer in ("curl -sS %s/until-close/%d | tee big | sha256sum" % (AT, size),
                         "curl -sS -T big %s/sink" % AT,
                         "curl -sS -T - %s/sink < big" % AT):
            done = self.run_moat("sh", "-ec", transfer)
            self.assertIn(expected, done.stdout, transfer + done.stderr)

    def test_nghttp(self):
        done = self.run_moat("nghttp", "-n", "-s", "-m", "50", AT + "/bytes/5000")
        self.assertEqual(sum(line.rstrip().endswith("/bytes/5000") for line in
                             done.stdout.splitlines()), 50, done.stdout)

    def test_nghttp_sends_data_and_trailers(self):
        done = self.run_moat("sh", "-ec", "echo -n body > data && nghttp -v --no-content-length -d data "
                             "--trailer 'x-checksum: 42' -H 'te: trailers' %s/trailers" % AT)
        self.assertIn("x-checksum: 42", done.stdout.lower())
        self.assertIn("x-came: 42", done.stdout.lower())

    def test_node_asks_three_hundred_times_at_once(self):
        self.assertEqual(self.node("many")["many"], 300)

    def test_node_sends_and_gets_large_bodies_at_once(self):
        seen = self.node("large")["large"]
        self.assertEqual(seen["sent"], seen["got"])
        self.assertEqual(seen["down"]["sha256"], hashlib.sha256(pattern(20_000_000)).hexdigest(),
                         seen["down"])

    def test_node_sees_trailers_and_hints(self):
        seen = self.node("trailers", "hints")
        self.assertEqual(seen["trailers"]["trailers"].get("x-came"), "42")
        self.assertEqual(seen["trailers"]["text"], "body")
        self.assertEqual(seen["hints"]["informational"], [[103, "</style.css>; rel=preload"]])
        self.assertEqual(seen["hints"]["status"], 200)

    def test_node_sees_a_cut_and_goes_on_after_a_cancel(self):
        seen = self.node("cut", "cancel")
        self.assertEqual(seen["cut"]["code"], 2)
        self.assertEqual(seen["cut"]["bytes"], 5000)
        self.assertEqual(seen["cancel"], 200)
        self.assertEqual([one["complete"] for one in self.trace() if one["path"] != "/open/after"],
                         [False, False])

    def test_node_is_told_that_a_name_belongs_elsewhere(self):
        self.assertEqual(self.node("misdirected")["misdirected"], [421, 200])

    def test_node_opens_a_websocket(self):
        self.assertEqual(self.node("websocket")["websocket"], [200, "one two"])
        exchange = self.trace()[0]
        self.assertEqual((exchange["status"], exchange["complete"]), (101, True))


if __name__ == "__main__":
    harness.main()
