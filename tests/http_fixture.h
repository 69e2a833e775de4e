// A small HTTP server on 127.0.0.1, scripted by the test, on the test's own loop. Plain HTTP/1.1,
// one request a connection. Knows nothing of what it serves.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/loop.h"
#include "core/text.h"

namespace moat::test {

struct HttpRequest {
  std::string method;
  std::string path;
  std::string head;  // everything before the body, as it came
  std::string body;

  // The value of a header, or "".
  [[nodiscard]] std::string header(std::string_view name) const {
    for (const std::string_view line : split(head, '\n')) {
      const size_t colon = line.find(':');
      if (colon != line.npos && equals_ignoring_case(line.substr(0, colon), name))
        return std::string(trim(line.substr(colon + 1)));
    }
    return {};
  }
};

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::string headers;   // whole lines, each with its "\r\n"
  bool hang_up = false;  // closes without an answer
  bool silent = false;   // leaves the connection open without an answer
};

class HttpFixture {
 public:
  using Script = std::function<HttpAnswer(const HttpRequest&)>;

  // `script` is asked for each request, in the order in which they are complete.
  HttpFixture(Loop& loop, Script script) : loop_(loop), script_(std::move(script)) {
    listener_ = Fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (bind(listener_.get(), generic, size) != 0 || listen(listener_.get(), 16) != 0 ||
        getsockname(listener_.get(), generic, &size) != 0)
      throw std::runtime_error("cannot listen on 127.0.0.1");
    port_ = ntohs(address.sin_port);
    watch_ = std::make_unique<Watch>(loop_, listener_.get(), [this](Ready) { accept_one(); });
    watch_->want(true, false);
  }
  HttpFixture(const HttpFixture&) = delete;
  HttpFixture& operator=(const HttpFixture&) = delete;

  [[nodiscard]] std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] const std::vector<HttpRequest>& requests() const { return requests_; }

  // Drops the listener: who connects from now on is refused.
  void stop() {
    watch_.reset();
    listener_.reset();
  }

 private:
  struct Peer {
    Fd fd;
    std::unique_ptr<Watch> watch;
    std::string in;
    std::string out;
    bool answered = false;
  };

  void accept_one() {
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    peers_.emplace_back();
    const auto peer = std::prev(peers_.end());
    peer->fd = std::move(fd);
    peer->watch = std::make_unique<Watch>(loop_, peer->fd.get(), [this, peer](Ready ready) {
      if (ready.read && !read_some(*peer)) return drop(peer);
      if (!peer->answered && !answer(*peer)) return drop(peer);
      if (!write_some(*peer)) drop(peer);
    });
    peer->watch->want(true, false);
  }

  // Disarmed and closed now; its watch, whose callback this is, goes with the fixture.
  static void drop(std::list<Peer>::iterator peer) {
    peer->watch->want(false, false);
    peer->fd.reset();
  }

  static bool read_some(Peer& peer) {
    char bytes[8192];
    const ssize_t count = recv(peer.fd.get(), bytes, sizeof bytes, 0);
    if (count > 0) peer.in.append(bytes, static_cast<size_t>(count));
    return count > 0 || (count < 0 && errno == EAGAIN);
  }

  // False: this peer is to be hung up on.
  bool answer(Peer& peer) {
    const size_t end = peer.in.find("\r\n\r\n");
    if (end == std::string::npos) return true;
    HttpRequest request;
    request.head = peer.in.substr(0, end + 2);
    const auto length = parse_number(request.header("Content-Length"), 0, 1 << 20);
    request.body = peer.in.substr(end + 4);
    if (length && request.body.size() < *length) return true;
    const auto words =
        split(std::string_view(request.head).substr(0, request.head.find('\r')), ' ');
    if (words.size() == 3) {
      request.method = words[0];
      request.path = words[1];
    }
    requests_.push_back(request);
    peer.answered = true;
    const HttpAnswer reply = script_(request);
    if (reply.hang_up) return false;
    if (reply.silent) return true;
    peer.out = format("HTTP/1.1 %d Reply\r\nContent-Length: %zu\r\nConnection: close\r\n",
                      reply.status, reply.body.size()) +
               reply.headers + "\r\n" + reply.body;
    return true;
  }

  static bool write_some(Peer& peer) {
    if (!peer.answered || peer.out.empty()) return true;
    const ssize_t count = send(peer.fd.get(), peer.out.data(), peer.out.size(), MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) return false;
    if (count > 0) peer.out.erase(0, static_cast<size_t>(count));
    peer.watch->want(true, !peer.out.empty());
    return !peer.out.empty();  // all said: hang up
  }

  Loop& loop_;
  Script script_;
  Fd listener_;
  uint16_t port_ = 0;
  std::unique_ptr<Watch> watch_;
  std::list<Peer> peers_;
  std::vector<HttpRequest> requests_;
};

}  // namespace moat::test
