"""moat trace --har and --otlp: what a real run did, for other programs."""

import hashlib
import http.server
import json
import re
import signal
import ssl
import subprocess
import threading
import unittest

import harness
from harness import MoatTest, wait_for
from test_proxy_command import Started


def check_any_value(value):
    assert len(value) == 1, value
    kind, content = next(iter(value.items()))
    if kind == "arrayValue":
        for element in content["values"]:
            check_any_value(element)
    elif kind == "intValue":  # 64 bits are a string in the JSON of Protobuf
        assert isinstance(content, str) and re.fullmatch("-?[0-9]+", content), value
    else:
        assert isinstance(content, {"stringValue": str, "boolValue": bool}[kind]), value


def check_attributes(attributes):
    for pair in attributes:
        assert set(pair) == {"key", "value"}, pair
        check_any_value(pair["value"])
    return {pair["key"]: next(iter(pair["value"].values())) for pair in attributes}


SPAN = {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano",
        "attributes", "events", "status"}


def spans_of(request):
    """The spans of an ExportTraceServiceRequest, or an AssertionError that says what is wrong."""
    assert set(request) == {"resourceSpans"}, set(request)
    spans = []
    for resource in request["resourceSpans"]:
        assert set(resource) == {"resource", "scopeSpans"}
        assert check_attributes(resource["resource"]["attributes"])["service.name"] == "moat"
        for scope in resource["scopeSpans"]:
            assert set(scope) == {"scope", "spans"}
            spans += scope["spans"]
    for span in spans:
        assert set(span) <= SPAN, set(span) - SPAN
        assert re.fullmatch("[0-9a-f]{32}", span["traceId"])
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
        assert re.fullmatch("[0-9a-f]{16}", span.get("parentSpanId", "0" * 16))
        assert span["kind"] in (1, 3) and span["name"]
        times = [span["startTimeUnixNano"], span["endTimeUnixNano"]]
        assert all(re.fullmatch("[0-9]{19}", time) for time in times) and times == sorted(times)
        check_attributes(span["attributes"])
        for event in span.get("events", []):
            assert set(event) == {"timeUnixNano", "name"}
        assert span["status"].get("code", 0) in (0, 2)
    assert 0 < len(spans) <= 512
    return spans


class Collector:
    """Takes spans that are as they should be, and answers 400 to others."""

    def __init__(self, certificate=None):
        self.spans, self.requests, self.answer = [], [], None
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = 200, b"{}"
                try:
                    assert len(body) <= 1024 * 1024
                    assert self.headers["Content-Type"] == "application/json"
                    collector.spans += spans_of(json.loads(body))
                    collector.requests.append((self.path, dict(self.headers)))
                except Exception as wrong:
                    status, answer = 400, repr(wrong).encode()
                if collector.answer:
                    status, answer = collector.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = "%s://127.0.0.1:%d" % ("https" if certificate else "http",
                                          self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Trace(MoatTest):
    def collector(self, **options):
        collector = Collector(**options)
        self.addCleanup(collector.close)
        return collector

    def visit(self, proxy, *words):
        done = subprocess.run(["curl", "-sS", "-m", "20", "--noproxy", "", "-x",
                               "http://" + proxy.places[0], "--cacert", str(proxy.ca), *words],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def busy_run(self):
        """A run that has asked for three things, one of them in vain. It goes on."""
        self.grant_github()
        policy = self.workspace / "policy.yaml"
        policy.write_text("network:\n  policy: strict\n  rules:\n    - allowed.example.test\n")
        proxy = Started(self, "--grant", "github", "--policy", policy)
        self.visit(proxy, "https://api.github.com/user?per_page=5&q=caf%C3%A9", "-b", "id=cookie-value")
        self.visit(proxy, "-d", "hello", "https://allowed.example.test/echo")
        self.visit(proxy, "http://evil.example.test/x")
        return proxy

    def trace_to(self, *words, expect=0):
        done = self.moat("trace", *words)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def test_an_archive_has_what_the_run_asked_for(self):
        proxy = self.busy_run()
        self.assertEqual(proxy.stop(), 0)
        text = self.trace_to("--har", "-").stdout
        self.assertNotIn(self.token, text)
        self.assertNotIn("cookie-value", text)
        log = json.loads(text)["log"]
        self.assertEqual(log["version"], "1.2")
        urls = {entry["request"]["url"]: entry for entry in log["entries"]}
        user = urls["https://api.github.com/user?per_page=5&q=caf%C3%A9"]
        self.assertEqual(user["response"]["status"], 200)
        self.assertEqual(user["_injected"], ["github"])
        self.assertEqual(user["request"]["queryString"],
                         [{"name": "per_page", "value": "5"}, {"name": "q", "value": "caf\u00e9"}])
        self.assertTrue(user["request"]["cookies"])
        self.assertEqual(user["serverIPAddress"], "127.0.0.1")
        self.assertGreater(user["timings"]["ssl"], 0)
        self.assertEqual(urls["https://allowed.example.test/echo"]["request"]["bodySize"], 5)
        evil = urls["http://evil.example.test/x"]
        self.assertTrue(evil["_refused"])
        self.assertEqual(evil["response"]["status"], 403)
        for entry in log["entries"]:
            timings = entry["timings"]
            steps = [timings[step] for step in ("dns", "connect", "send", "wait", "receive")]
            self.assertAlmostEqual(sum(step for step in steps if step >= 0), entry["time"], places=3)
        # A request can be asked for by what the archive calls it.
        one = self.trace_to("--request", evil["_request_id"], "--har", "-").stdout
        self.assertEqual([entry["_request_id"] for entry in json.loads(one)["log"]["entries"]],
                         [evil["_request_id"]])

    def test_a_collector_takes_the_spans(self):
        proxy = self.busy_run()
        self.assertEqual(proxy.stop(), 0)
        collector = self.collector()
        run = self.last_run()["id"]
        self.moat("trace", "--otlp", collector.url, run,
                  env={"OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b"})
        self.assertEqual(len(collector.requests), 1)
        path, headers = collector.requests[0]
        self.assertEqual((path, headers["api-key"]), ("/v1/traces", "a b"))
        self.assertNotIn(self.token, json.dumps(collector.spans))
        digest = hashlib.sha256(b"moat.run/" + run.encode()).hexdigest()
        roots = [span for span in collector.spans if "parentSpanId" not in span]
        self.assertEqual([(span["traceId"], span["spanId"]) for span in roots],
                         [(digest[:32], digest[32:48])])
        known = {span["spanId"] for span in collector.spans}
        self.assertEqual(len(known), len(collector.spans))
        self.assertTrue(all(span.get("parentSpanId", digest[32:48]) in known
                            for span in collector.spans))
        requests = [check_attributes(span["attributes"]) for span in collector.spans
                    if span["kind"] == 3]
        self.assertEqual(sorted(one["http.response.status_code"] for one in requests),
                         ["200", "200", "403"])
        self.assertEqual({one["moat.request_id"] for one in requests},
                         {one["request_id"] for one in self.trace(run)})

    def test_the_protocols_own_classes_take_the_spans(self):
        venv = self.root / "venv"
        made = subprocess.run("{0} -m venv {1} && {1}/bin/pip install -q --disable-pip-version-check "
                              "'opentelemetry-proto>=1.20,<2'".format(harness.PYTHON, venv),
                              shell=True, capture_output=True, text=True)
        if made.returncode != 0:
            self.skipTest("opentelemetry-proto cannot be installed: " + made.stdout + made.stderr)
        proxy = self.busy_run()
        self.assertEqual(proxy.stop(), 0)
        text = self.trace_to("--otlp", "-").stdout

        def parse(requests):
            return subprocess.run([str(venv / "bin" / "python"), str(harness.HERE / "otlp_parse.py")],
                                  input=requests, capture_output=True, text=True)

        parsed = parse(text)
        self.assertEqual(parsed.returncode, 0, parsed.stderr)
        spans = [span for line in text.splitlines() for span in spans_of(json.loads(line))]
        self.assertEqual([json.loads(line) for line in parsed.stdout.splitlines()],
                         [[span["traceId"], span["spanId"], span["name"],
                           int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])]
                          for span in spans])
        self.assertEqual(len([span for span in spans if span["kind"] == 3]), 3)
        # And they do not take whatever they are given.
        self.assertNotEqual(parse(text.replace('"kind":3', '"sort":3')).returncode, 0)

    def test_a_collector_with_a_certificate_of_its_own(self):
        proxy = self.busy_run()
        self.assertEqual(proxy.stop(), 0)
        directory = self.origin.ca.parent
        collector = self.collector(certificate=(directory / "origin.crt", directory / "origin.key"))
        refused = self.trace_to("--otlp", collector.url, expect=1)
        self.assertIn("certificate", refused.stderr.lower())
        self.assertEqual(collector.spans, [])
        self.trace_to("--otlp", collector.url, "--upstream-ca", self.origin.ca)
        self.assertTrue(collector.spans)

    def test_a_collector_that_refuses_is_an_error(self):
        proxy = self.busy_run()
        self.assertEqual(proxy.stop(), 0)
        collector = self.collector()
        collector.answer = (429, b"slow \x1b[2Jdown")
        done = self.trace_to("--otlp", collector.url + "/in", expect=1)
        self.assertIn("answered the spans with 429: slow \\x1b[2Jdown", done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(collector.requests), 1)  # not asked again and again

    def test_spans_are_sent_while_the_run_goes_on(self):
        proxy = self.busy_run()
        collector = self.collector()
        follower = self.start("trace", "--follow", "--otlp", collector.url)
        wait_for(lambda: len(collector.spans) == 3)
        self.visit(proxy, "https://allowed.example.test/late")
        wait_for(lambda: len(collector.spans) == 4)
        self.assertIsNone(follower.poll())
        self.assertEqual(proxy.stop(), 0)
        out, err = follower.communicate(timeout=20)
        self.assertEqual((follower.returncode, out, err), (0, b"", b""))
        self.assertEqual(len([s for s in collector.spans if "parentSpanId" not in s]), 1)

    def test_a_supervisor_that_is_killed_ends_what_follows(self):
        proxy = self.busy_run()
        archive = self.workspace / "run.har"
        follower = self.start("trace", "--follow", "--har", archive)
        wait_for(lambda: archive.exists() and archive.read_text().count("_request_id") == 3)
        proxy.stop(signal.SIGKILL)
        self.addCleanup(self.moat, "list")  # tells of the lost run, which no other test expects
        _, err = follower.communicate(timeout=20)
        self.assertEqual(follower.returncode, 0)
        self.assertIn(b"is gone, and its record ends here", err)
        self.assertEqual(len(json.loads(archive.read_text())["log"]["entries"]), 3)


if __name__ == "__main__":
    harness.main()
