// What recording does to the time that a request takes: two proxies side by side, one with a record
// on the disk and one that forgets, asked in turns at a steady rate. Times count from when a
// request was due, so that one which waits for another is not left out.
//
// usage: bench_recorded [--rate N] [--seconds N] [directory]; one on the disk that is meant.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/crypto.h"
#include "core/fd.h"
#include "core/loop.h"
#include "proxy/proxy.h"
#include "recorder.h"

using namespace moat;

namespace {

constexpr int connections = 16;  // to each proxy
const std::string body = "{\"items\":[" + std::string(1000, '7') + "],\"next\":null}";
const std::string answer =
    "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: application/json\r\n"
    "Date: Mon, 23 Nov 2026 00:00:00 GMT\r\nETag: \"65f0c0de-400\"\r\nContent-Length: " +
    std::to_string(body.size()) + "\r\n\r\n" + body;
const std::string request =
    "GET http://api.example.com/v1/repos/owner/name/issues?per_page=100 HTTP/1.1\r\n"
    "Host: api.example.com\r\nUser-Agent: some-client/1.2.3\r\nAccept: application/json\r\n\r\n";

template <class T>
T need(Result<T> result) {
  if (result) return std::move(*result);
  fprintf(stderr, "bench_recorded: %s\n", result.error().message.c_str());
  exit(1);
}

void need(const Result<void>& result) {
  if (result) return;
  fprintf(stderr, "bench_recorded: %s\n", result.error().message.c_str());
  exit(1);
}

int64_t now() {
  return system_clock().monotonic_ns();
}

Fd listen_on_loopback(uint16_t& port) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!fd || bind(fd.get(), generic, size) != 0 || listen(fd.get(), 64) != 0 ||
      getsockname(fd.get(), generic, &size) != 0) {
    perror("bench_recorded: listen");
    exit(1);
  }
  port = ntohs(address.sin_port);
  return fd;
}

Fd connect_to(uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    perror("bench_recorded: connect");
    exit(1);
  }
  return fd;
}

class Process {
 public:
  template <class Fn>
  explicit Process(Fn fn) : pid_(fork()) {
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fn();
    _exit(0);
  }
  ~Process() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

 private:
  pid_t pid_;
};

// A whole request in one read is all that there is to understand.
void serve_as_origin(int listener) {
  std::vector<pollfd> polled = {{listener, POLLIN, 0}};
  while (poll(polled.data(), polled.size(), -1) > 0) {
    for (size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      char bytes[4096];
      if (read(polled[i].fd, bytes, sizeof bytes) <= 0 ||
          write(polled[i].fd, answer.data(), answer.size()) < 0) {
        close(polled[i].fd);
        polled[i].fd = -1;
      }
    }
    if (polled[0].revents == 0) continue;
    const int fd = accept(listener, nullptr, nullptr);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    polled.push_back({fd, POLLIN, 0});
  }
}

struct Observer final : proxy::Observer {
  explicit Observer(Recorder* to) : recorder(to) {}
  Result<void> recording() override {
    return recorder != nullptr ? recorder->state() : Result<void>();
  }
  void on_exchange(proxy::Exchange exchange) override {
    if (recorder != nullptr) recorder->exchange(std::move(exchange));
  }
  void on_dns(const proxy::DnsQuestion& /*question*/) override {}
  Recorder* recorder;
};

// `directory` is where its record goes; none without.
void serve_as_proxy(Fd listener, uint16_t origin, const std::string& directory) {
  Loop loop;
  const SigningKey key = need(SigningKey::generate());
  std::optional<Recorder> recorder;
  if (!directory.empty()) {
    recorder.emplace(loop, system_clock(),
                     need(store::RecordWriter::create(directory, "bench", key)),
                     [](const Error& error) { need(Result<void>(error)); });
    recorder->keep_out("example-token-0123456789abcdef");
    recorder->audit("run.created", Json::object());
  }
  Observer observer(recorder ? &*recorder : nullptr);
  proxy::Settings settings;
  settings.run_name = "bench";
  settings.policy.mode = proxy::Policy::Mode::permissive;
  settings.connect_to["*"] = "127.0.0.1:" + std::to_string(origin);
  auto proxy = need(proxy::Proxy::create(loop, std::move(settings), observer));
  proxy::Listener listening;
  listening.kind = proxy::Listener::Kind::forward;
  need(set_non_blocking(listener.get()));
  listening.fd = std::move(listener);
  proxy->listen(std::move(listening));
  const Signal ends(loop, SIGTERM, [&] { loop.stop(); });
  loop.run();
  proxy.reset();
  if (recorder) {
    recorder->audit("run.ended", Json::object());
    need(recorder->finish());
  }
}

// A proxy as its client sees it.
class Asked {
 public:
  explicit Asked(uint16_t port) {
    for (int i = 0; i < connections; ++i) lines_.push_back({connect_to(port), 0, 0});
  }
  void ask(int64_t due) {
    due_.push_back(due);
    send_what_is_due();
  }
  void add_to(std::vector<pollfd>& polled) const {
    for (const Line& line : lines_) polled.push_back({line.fd.get(), POLLIN, 0});
  }
  void take(const pollfd* polled) {
    for (size_t i = 0; i < lines_.size(); ++i) {
      if (polled[i].revents != 0) read_from(lines_[i]);
    }
    send_what_is_due();
  }
  void forget() { times_.clear(); }
  // Microseconds.
  [[nodiscard]] double percentile(double part) {
    std::sort(times_.begin(), times_.end());
    return times_[std::min(times_.size() - 1,
                           static_cast<size_t>(part * static_cast<double>(times_.size())))];
  }
  [[nodiscard]] size_t count() const { return times_.size(); }

 private:
  struct Line {
    Fd fd;
    int64_t due;  // of what it has been asked; 0: nothing
    size_t missing;
  };
  // In turns, for a connection that says nothing for long is closed.
  void send_what_is_due() {
    for (size_t tried = 0; tried < lines_.size() && !due_.empty(); ++tried) {
      Line& line = lines_[next_++ % lines_.size()];
      if (line.due != 0) continue;
      line.due = due_.front();
      line.missing = 0;
      due_.pop_front();
      need(write_all(line.fd.get(), request));
    }
  }
  void read_from(Line& line) {
    char bytes[8192];
    const ssize_t count = read(line.fd.get(), bytes, sizeof bytes);
    if (count <= 0 || (line.missing == 0 && memcmp(bytes, "HTTP/1.1 200", 12) != 0)) {
      fprintf(stderr, "bench_recorded: not an answer: %.*s\n", static_cast<int>(count), bytes);
      exit(1);
    }
    if (line.missing == 0) {
      const std::string_view head(bytes, static_cast<size_t>(count));
      line.missing = head.find("\r\n\r\n") + 4 + body.size();
    }
    line.missing -= static_cast<size_t>(count);
    if (line.missing != 0) return;
    times_.push_back(static_cast<double>(now() - line.due) / 1000);
    line.due = 0;
  }

  std::vector<Line> lines_;
  size_t next_ = 0;
  std::deque<int64_t> due_;
  std::vector<double> times_;
};

void drive(std::deque<Asked>& proxies, int rate, int seconds) {
  const int64_t step = 1'000'000'000 / rate / static_cast<int64_t>(proxies.size());
  int64_t due = now() + step;
  const int64_t end = due + int64_t{seconds} * 1'000'000'000;
  for (size_t turn = 0; due < end;) {
    for (; due <= now(); due += step) proxies[turn++ % proxies.size()].ask(due);
    std::vector<pollfd> polled;
    for (const Asked& proxy : proxies) proxy.add_to(polled);
    const int64_t left = std::max<int64_t>(0, due - now());
    const timespec wait{0, static_cast<long>(left)};
    if (ppoll(polled.data(), polled.size(), &wait, nullptr) <= 0) continue;
    for (size_t i = 0; i < proxies.size(); ++i) proxies[i].take(&polled[i * connections]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  int rate = 2000;
  int seconds = 10;
  std::string parent = ".";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--rate" && i + 1 < argc)
      rate = std::max(1, atoi(argv[++i]));
    else if (word == "--seconds" && i + 1 < argc)
      seconds = std::max(1, atoi(argv[++i]));
    else
      parent = word;
  }
  std::string directory = parent + "/moat-bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    perror("bench_recorded: mkdtemp");
    return 1;
  }
  uint16_t origin_port = 0;
  uint16_t ports[2] = {};
  Fd origin_listener = listen_on_loopback(origin_port);
  Fd listeners[2] = {listen_on_loopback(ports[0]), listen_on_loopback(ports[1])};
  {
    const Process origin([&] { serve_as_origin(origin_listener.get()); });
    const Process forgets([&] { serve_as_proxy(std::move(listeners[0]), origin_port, ""); });
    const Process records([&] { serve_as_proxy(std::move(listeners[1]), origin_port, directory); });
    std::deque<Asked> proxies;
    for (const uint16_t port : ports) proxies.emplace_back(port);
    drive(proxies, rate, 1);
    for (Asked& proxy : proxies) proxy.forget();
    drive(proxies, rate, seconds);
    printf("%d requests a second to each, on %d connections, microseconds:\n", rate, connections);
    for (const double part : {0.5, 0.9, 0.99, 0.999}) {
      const double without = proxies[0].percentile(part);
      const double with = proxies[1].percentile(part);
      printf("p%-5g %8.0f without a record, %8.0f with one: %.2f times\n", part * 100, without,
             with, with / without);
    }
  }
  std::filesystem::remove_all(directory);
  return 0;
}
