// Makes runs in $MOAT_HOME as a supervisor would have left them, for the command-line cases:
// sample-runs done|lost|tampered|busy|long|live ...
#include <sys/stat.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "core/loop.h"
#include "paths.h"
#include "recorder.h"
#include "runs.h"
#include "store/vault.h"

using namespace moat;

namespace {

constexpr int64_t second = 1'000'000'000;
constexpr int64_t birth = 1'700'000'000 * second;

// One second passes between any two looks at it.
class SteppingClock final : public Clock {
 public:
  [[nodiscard]] int64_t wall_ns() const override { return birth + second * steps_++; }
  [[nodiscard]] int64_t monotonic_ns() const override { return 0; }

 private:
  mutable int64_t steps_ = 0;
};

template <class T>
T need(Result<T> result) {
  if (!result) {
    fprintf(stderr, "sample-runs: %s\n", result.error().message.c_str());
    exit(1);
  }
  return std::move(*result);
}

proxy::Exchange allowed() {
  proxy::Exchange e;
  e.request_id = "00000000000000a1";
  e.start_ns = birth + second;
  e.wanted = "198.18.0.5:443";
  e.scheme = "https";
  e.host = "api.example.com";
  e.port = 443;
  e.address = "192.0.2.1:443";
  e.method = "GET";
  e.path = "/user";
  e.status = 200;
  e.injected = {"github"};
  e.request_headers = {{"accept", "*/*"}, {"authorization", "placeholder"}};
  e.response_headers = {{"content-type", "application/json"}};
  e.response_bytes = 1536;
  e.complete = true;
  e.end_ns = 34'000'000;
  return e;
}

proxy::Exchange refused() {
  proxy::Exchange e;
  e.request_id = "00000000000000a2";
  e.start_ns = birth + 2 * second;
  e.wanted = "198.18.0.6:443";
  e.scheme = "https";
  e.host = "evil.example.org";
  e.port = 443;
  e.method = "POST";
  e.path = "/\x1b[2Jx";
  e.status = 403;
  e.refused = true;
  e.reason = "evil.example.org is not allowed";
  e.rule = "policy: strict";
  e.rule_where = "agent.yaml:3";
  e.complete = true;
  e.end_ns = 2'000'000;
  return e;
}

proxy::Exchange posted() {
  proxy::Exchange e = allowed();
  e.request_id = "00000000000000b1";
  e.method = "POST";
  e.path = "/search?q=caf%C3%A9+x&page=2";
  e.status = 201;
  e.client_version = "HTTP/2";
  e.origin_version = "HTTP/1.1";
  e.request_headers = {{"user-agent", "sample/1"}, {"cookie", "id=1"}};
  e.response_headers = {{"content-type", "text/html"}, {"set-cookie", "id=2; HttpOnly"}};
  e.request_bytes = 7;
  e.resolved_ns = 1'000'000;
  e.connected_ns = 3'000'000;
  e.tls_ns = 9'000'000;
  e.first_byte_ns = 20'000'000;
  return e;
}

proxy::Exchange failed() {
  proxy::Exchange e = allowed();
  e.request_id = "00000000000000b2";
  e.host = "down.example.com";
  e.port = 8443;
  e.address = "[2001:db8::1]:8443";
  e.status = 502;
  e.reason = "down.example.com:8443 has ended the connection";
  e.injected.clear();
  return e;
}

proxy::Exchange carried() {
  proxy::Exchange e;
  e.request_id = "00000000000000b3";
  e.start_ns = birth + 2 * second;
  e.scheme = "tcp";
  e.host = "db.example.com";
  e.port = 5432;
  e.address = "192.0.2.9:5432";
  e.rule = "tcp: db.example.com:5432";
  e.request_bytes = 100;
  e.response_bytes = 4096;
  e.end_ns = second;
  return e;
}

// A run and its supervisor.
class Sample {
 public:
  Sample(const Home& home, const char* id, const char* name)
      : key_(need(store::open_signing_key(home.root))), directory_(home.run(id)) {
    facts_.id = id;
    facts_.name = name;
    facts_.engine = "bubblewrap";
    facts_.image = "host";
    facts_.workspace = "/work";
    facts_.command = {"echo", "hello\x1b[2J"};
    facts_.grants = {"github"};
    facts_.created_ns = birth;
    mkdir(home.runs().c_str(), 0700);
    mkdir(directory_.c_str(), 0700);
    lock_ = need(lock_run(directory_));
    recorder_.emplace(loop_, clock_, need(store::RecordWriter::create(directory_, id, key_)),
                      [](const Error& error) { need(Result<int>(error)); });
    state("running");
    recorder_->audit("run.created", Json::object().set("name", name));
    recorder_->redact_headers({"authorization"});
  }

  void live() {
    recorder_->output(runtime::OutputStream::out, "first\nsecond\n");
    recorder_->output(runtime::OutputStream::err, "a warning\n");
    recorder_->output(runtime::OutputStream::out, "third \x1b[31m\xff\nlast, open");
    recorder_->exchange(allowed());
    recorder_->exchange(refused());
    recorder_->span("seal", 0, 5'000'000);
    recorder_->span("command", 5'000'000, 2 * second);
    if (auto done = recorder_->commit(); !done) need(Result<int>(done.error()));
  }
  // Stages in stages, and what `moat trace` can choose from.
  void busy() {
    recorder_->redact_headers({"cookie", "set-cookie"});
    recorder_->span("prepare", 0, 40'000'000);
    recorder_->span("image", 5'000'000, 30'000'000);
    recorder_->span("seal", 40'000'000, 45'000'000);
    recorder_->span("command", 45'000'000, 10 * second);
    for (const proxy::Exchange& e : {posted(), failed(), carried(), refused()})
      recorder_->exchange(e);
    if (auto done = recorder_->commit(); !done) need(Result<int>(done.error()));
  }
  // 100,000 lines, and one of the other stream before them.
  void much_output() {
    recorder_->output(runtime::OutputStream::err, "the only warning\n");
    for (int i = 1; i <= 100'000; ++i)
      recorder_->output(runtime::OutputStream::out, "line " + std::to_string(i) + "\n");
  }
  void end() {
    facts_.ended_ns = birth + 100 * second;
    facts_.exit_status = 3;
    state("ended");
    recorder_->audit("run.ended", Json::object().set("exit_status", 3));
    need(recorder_->finish());
  }
  // Lives as long as moat looks on: says `text` every so often, and ends.
  void go_on(const std::string& text, int times) {
    for (int i = 0; i < times; ++i) {
      Timer timer(loop_, [this] { loop_.stop(); });
      timer.start(Milliseconds(100));
      loop_.run();
      recorder_->output(runtime::OutputStream::out, text);
      if (auto done = recorder_->commit(); !done) need(Result<int>(done.error()));
    }
  }

 private:
  void state(const char* word) {
    facts_.state = word;
    recorder_->facts(facts_);
  }

  Loop loop_;
  SteppingClock clock_;
  SigningKey key_;
  std::string directory_;
  Fd lock_;
  RunFacts facts_;
  std::optional<Recorder> recorder_;
};

void replace_in_file(const std::string& path, const std::string& from, const std::string& to) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  for (size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 1))
    bytes.replace(at, from.size(), to);
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

int main(int argc, char** argv) {
  const Home home = need(open_home());
  for (int i = 1; i < argc; ++i) {
    const std::string what = argv[i];
    if (what == "done") {
      Sample run(home, "0123456789ab", "web");
      run.live();
      run.end();
    } else if (what == "lost") {
      Sample run(home, "222222222222", "");
      run.live();
    } else if (what == "tampered") {
      {
        Sample run(home, "333333333333", "bad");
        run.live();
        run.end();
      }
      replace_in_file(home.run("333333333333") + "/record.mdb", "a warning", "a morning");
    } else if (what == "busy") {
      Sample run(home, "555555555555", "busy");
      run.busy();
      run.end();
    } else if (what == "long") {
      Sample run(home, "666666666666", "long");
      run.much_output();
      run.end();
    } else if (what == "live") {
      Sample run(home, "444444444444", "now");
      run.live();
      puts("ready");
      fflush(stdout);
      run.go_on("\nmore", 5);
      run.end();
    } else {
      fprintf(stderr, "sample-runs: done, lost, tampered, busy, long or live, not %s\n", argv[i]);
      return 2;
    }
  }
  return 0;
}
