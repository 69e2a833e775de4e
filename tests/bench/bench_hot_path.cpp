// What a small request costs outside of TLS and the kernel: its head and the response's read,
// policy, injection, and its record, with a share of the commits.
// usage: bench_hot_path [directory]; a directory on the disk that is meant, not in memory.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/loop.h"
#include "measure.h"
#include "proxy/http1.h"
#include "proxy/injection.h"
#include "proxy/policy.h"
#include "recorder.h"

using namespace moat;
using bench::measure;

namespace {

const std::string request =
    "GET /v1/repos/owner/name/issues?per_page=100 HTTP/1.1\r\n"
    "Host: api.example.com\r\n"
    "User-Agent: some-client/1.2.3\r\n"
    "Accept: application/json\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "X-Request-Id: 0123456789abcdef\r\n"
    "\r\n";
const std::string response =
    "HTTP/1.1 200 OK\r\n"
    "Server: nginx\r\n"
    "Date: Mon, 23 Nov 2026 00:00:00 GMT\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 1024\r\n"
    "ETag: \"65f0c0de-400\"\r\n"
    "Connection: keep-alive\r\n"
    "\r\n" +
    std::string(1024, 'x');

struct Keep : proxy::Http1Handler {
  Result<void> on_request(proxy::RequestHead head, proxy::BodyLength) override {
    request_head = std::move(head);
    return {};
  }
  Result<void> on_response(proxy::ResponseHead head, proxy::BodyLength) override {
    response_head = std::move(head);
    return {};
  }
  Result<void> on_body(std::string_view bytes) override {
    body += bytes.size();
    return {};
  }
  Result<void> on_trailers(proxy::Headers) override { return {}; }
  Result<void> on_message_end() override { return {}; }

  proxy::RequestHead request_head;
  proxy::ResponseHead response_head;
  size_t body = 0;
};

[[noreturn]] void die(const Error& error) {
  fprintf(stderr, "bench_hot_path: %s\n", error.message.c_str());
  exit(1);
}

proxy::Policy policy_of(int rules) {
  proxy::Policy policy;
  policy.mode = proxy::Policy::Mode::strict;
  for (int i = 0; i < rules; ++i) {
    proxy::HostRule rule;
    rule.host = i + 1 == rules ? "api.example.com" : "host-" + std::to_string(i) + ".example.org";
    rule.lines.push_back(*proxy::parse_rule_line("deny DELETE /**"));
    rule.lines.push_back(*proxy::parse_rule_line("allow GET /v1/**"));
    policy.hosts.push_back(std::move(rule));
  }
  return policy;
}

std::vector<proxy::Injection> injections() {
  std::vector<proxy::Injection> all;
  all.push_back({"example", "api.example.com", "Authorization",
                 Secret("Bearer example-token-0123456789abcdef"),
                 Secret("example-token-0123456789abcdef")});
  return all;
}

proxy::Exchange exchange_of(const Keep& keep) {
  proxy::Exchange exchange;
  exchange.request_id = "0123456789abcdef";
  exchange.start_ns = system_clock().wall_ns();
  exchange.wanted = "198.18.0.5:443";
  exchange.scheme = "https";
  exchange.host = "api.example.com";
  exchange.port = 443;
  exchange.address = "192.0.2.7:443";
  exchange.method = keep.request_head.method;
  exchange.path = keep.request_head.path;
  exchange.request_headers = keep.request_head.headers;
  exchange.response_headers = keep.response_head.headers;
  exchange.status = 200;
  exchange.rule = "allow GET /v1/**";
  exchange.rule_where = "agent.yaml:12";
  exchange.injected = {"example"};
  exchange.response_bytes = 1024;
  exchange.client_version = exchange.origin_version = "HTTP/1.1";
  exchange.reused = exchange.complete = true;
  exchange.first_byte_ns = 180'000;
  exchange.end_ns = 200'000;
  return exchange;
}

void measure_record(const std::string& directory, const Keep& keep) {
  const auto key = SigningKey::generate();
  if (!key) die(key.error());
  auto writer = store::RecordWriter::create(directory, "bench", *key);
  if (!writer) die(writer.error());
  Loop loop;
  Recorder recorder(loop, system_clock(), std::move(*writer),
                    [](const Error& error) { die(error); });
  recorder.keep_out("example-token-0123456789abcdef");
  recorder.redact_headers({"authorization", "cookie", "set-cookie"});
  recorder.audit("run.created", Json::object());
  const proxy::Exchange exchange = exchange_of(keep);
  // One waits for the end of the turn, or, here, for the 64th.
  measure("record an exchange that used a credential", 2000, [&] { recorder.exchange(exchange); });
  int count = 0;
  measure("the same, with a commit for each 500", 2000, [&] {
    recorder.exchange(exchange);
    if (++count % 500 == 0) {
      if (auto done = recorder.commit(); !done) die(done.error());
    }
  });
  if (auto done = recorder.finish(); !done) die(done.error());
}

}  // namespace

int main(int argc, char** argv) {
  Keep keep;
  proxy::Http1Reader requests(proxy::Http1Reader::Role::requests, keep);
  proxy::Http1Reader responses(proxy::Http1Reader::Role::responses, keep);
  measure("parse a request", 20'000, [&] { bench::use(requests.feed(request)); });
  measure("parse a response with 1 KiB of body", 20'000,
          [&] { bench::use(responses.feed(response)); });

  for (const int rules : {1, 20}) {
    const proxy::Policy policy = policy_of(rules);
    const std::string what = "decide, of " + std::to_string(rules) + " hosts with 2 rules each";
    measure(what.c_str(), 20'000, [&] {
      bench::use(proxy::decide(policy, "api.example.com", 443, "GET", keep.request_head.path));
    });
  }
  const proxy::Injector injector(injections(), {"Authorization", "Cookie", "X-Api-Key"});
  measure("inject a header", 20'000, [&] {
    proxy::Headers headers = keep.request_head.headers;
    std::string path = keep.request_head.path;
    bench::use(injector.apply("https", "api.example.com", headers, path));
  });
  const proxy::Injector watchful(
      injections(), {"Authorization", "Cookie", "X-Api-Key"},
      {{"example", "example_0123456789abcdefABCDEF0123456789", {"api.example.com"}}});
  measure("look for a placeholder, at its own host", 20'000,
          [&] { bench::use(watchful.strayed("api.example.com", keep.request_head)); });
  measure("the same at another host", 20'000,
          [&] { bench::use(watchful.strayed("www.example.com", keep.request_head)); });

  std::string directory = std::string(argc > 1 ? argv[1] : ".") + "/moat-bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    perror("bench_hot_path: mkdtemp");
    return 1;
  }
  measure_record(directory, keep);
  std::filesystem::remove_all(directory);
  return 0;
}
