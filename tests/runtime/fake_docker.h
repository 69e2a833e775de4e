// FakeDocker: an engine's HTTP server on a unix socket, on the test's own loop. It answers as it is
// told for each path, and can go away at any time.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/loop.h"
#include "core/stream.h"
#include "core/text.h"

namespace moat::test {

class FakeDocker : private Stream::Handler {
 public:
  struct Answer {
    int status = 200;
    std::string body;
    bool never = false;    // the request is left unanswered
    std::string raw;       // instead of all that: bytes
    bool hang_up = false;  // and close
  };
  // By "METHOD /path", without version and query; the longest that fits.
  std::map<std::string, Answer> answers;
  std::vector<std::string> requests;  // "METHOD /v1.41/path?query"
  std::vector<std::string> bodies;

  FakeDocker(Loop& loop, const std::string& path) : loop_(loop) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    listener_ = Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_.get(), 16) != 0)
      throw std::runtime_error("FakeDocker: cannot listen");
    watch_.emplace(loop_, listener_.get(), [this](Ready) { take(); });
    watch_->want(true, false);
    // A machine on which all goes well, up to where moat-init would speak.
    answers["GET /version"].body =
        R"({"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"})";
    answers["GET /images/"].body = R"({"Id":"sha256:abc","Config":{"Cmd":["sh"]}})";
    answers["POST /containers/create"] = {201, R"({"Id":"c0ffee"})"};
    answers["POST /containers/c0ffee/attach"].raw = "HTTP/1.1 101 UPGRADED\r\n\r\n";
    answers["POST /containers/c0ffee/start"] = {204, ""};
    answers["POST /containers/c0ffee/wait"].never = true;
    answers["POST /containers/c0ffee/kill"] = {204, ""};
    answers["DELETE /containers/"] = {204, ""};
    answers["GET /containers/json"].body = "[]";
  }

  // The engine dies: every connection ends, and no new one is taken.
  void die() {
    watch_.reset();
    listener_.reset();
    connections_.clear();
  }
  [[nodiscard]] bool was_asked(const std::string& part) const {
    for (const auto& request : requests)
      if (request.find(part) != std::string::npos) return true;
    return false;
  }
  // On the attach connection, the last that was upgraded.
  void send(std::string_view bytes) { attached_->write(bytes); }
  void hang_up() { attached_->close(); }

 private:
  void take() {
    const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    Stream::Handler& handler = *this;
    connections_.push_back(std::make_unique<Stream>(loop_, Fd(fd), handler, Stream::Limits{}));
  }

  void on_input(Stream& stream) override {
    if (&stream == attached_) return stream.consume(stream.input().size());
    for (;;) {
      const auto input = stream.input();
      const size_t end = input.find("\r\n\r\n");
      if (end == std::string_view::npos) return;
      const std::string head(input.substr(0, end));
      const size_t at = head.find("Content-Length: ");
      const size_t size = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
      if (input.size() < end + 4 + size) return;
      bodies.emplace_back(input.substr(end + 4, size));
      stream.consume(end + 4 + size);
      requests.push_back(head.substr(0, head.find(" HTTP/")));
      answer(stream, requests.back());
      if (stream.closed()) return;
    }
  }

  void answer(Stream& stream, const std::string& request) {
    std::string key = request.substr(0, request.find('?'));
    const size_t version = key.find(" /v1.");
    if (version != std::string::npos)
      key.erase(version + 1, key.find('/', version + 2) - version - 1);
    const Answer* best = nullptr;
    size_t length = 0;
    for (const auto& [prefix, one] : answers) {
      if (key.rfind(prefix, 0) != 0 || prefix.size() < length) continue;
      best = &one;
      length = prefix.size();
    }
    if (best == nullptr) throw std::runtime_error("FakeDocker: no answer for " + request);
    if (best->never) return;
    if (key.find("/attach") != std::string::npos && best->status == 200) attached_ = &stream;
    if (!best->raw.empty()) {
      stream.write(best->raw);
    } else if (!best->hang_up) {
      stream.write(
          format("HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n", best->status, best->body.size()) +
          best->body);
    }
    if (best->hang_up) stream.close();
  }

  void on_end(Stream& stream) override { stream.close(); }
  void on_drained(Stream& /*stream*/) override {}
  void on_error(Stream& /*stream*/, const Error& /*error*/) override {}

  Loop& loop_;
  Fd listener_;
  std::optional<Watch> watch_;  // depends-on: listener_
  std::list<std::unique_ptr<Stream>> connections_;
  Stream* attached_ = nullptr;
};

}  // namespace moat::test
