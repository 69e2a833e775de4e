#include "control.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/stream.h"
#include "core/text.h"
#include "core/unix_socket.h"

namespace moat {
namespace {

constexpr size_t longest_request = 4 * 1024;
constexpr size_t most_clients = 16;
constexpr int answer_within_ms = 5000;

ControlServer::Peer peer_of(int fd) {
  ucred who{};
  socklen_t size = sizeof who;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return {};
  return {who.pid, static_cast<int64_t>(who.uid)};
}

}  // namespace

// One connection: a line comes, an answer goes, and that is all.
class ControlServer::Client : private Stream::Handler {
 public:
  Client(ControlServer& server, Fd fd)
      : server_(server),
        peer_(peer_of(fd.get())),
        stream_(server.loop_, std::move(fd), *this, {longest_request, 64 * 1024}) {}

 private:
  void on_input(Stream& stream) override {
    const auto input = stream.input();
    const size_t end = input.find('\n');
    if (end == std::string_view::npos) {
      if (input.size() >= longest_request) leave();
      return;
    }
    Json answer = Json::object();
    if (auto request = Json::parse(input.substr(0, end))) {
      answer = server_.serve_(*request, peer_);
    } else {
      answer.set("error", request.error().message);
    }
    stream.consume(input.size());
    stream.write(answer.text() + "\n");
    stream.end_writing();
  }
  void on_end(Stream& /*stream*/) override { leave(); }
  void on_drained(Stream& /*stream*/) override {}
  void on_error(Stream& /*stream*/, const Error& /*error*/) override { leave(); }
  void leave() {
    stream_.close();
    left_ = true;
    server_.prune_.start(Milliseconds(0));
  }

  friend class ControlServer;
  ControlServer& server_;
  Peer peer_;
  Stream stream_;
  bool left_ = false;
};

Result<std::unique_ptr<ControlServer>> ControlServer::open(Loop& loop, const std::string& directory,
                                                           Serve serve) {
  auto listener = listen_unix(directory, "control.sock", static_cast<int>(most_clients));
  if (!listener) return listener.error();
  return std::unique_ptr<ControlServer>(
      new ControlServer(loop, directory, std::move(*listener), std::move(serve)));
}

ControlServer::ControlServer(Loop& loop, std::string directory, Fd listener, Serve serve)
    : loop_(loop),
      directory_(std::move(directory)),
      listener_(std::move(listener)),
      serve_(std::move(serve)),
      watch_(
          loop, listener_.get(), [this](Ready) { accept_one(); }, Priority::control),
      prune_(loop, [this] { prune(); }) {
  watch_.want(true, false);
}

ControlServer::~ControlServer() {
  unlink((directory_ + "/control.sock").c_str());
}

void ControlServer::accept_one() {
  Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return;
  if (clients_.size() >= most_clients) return;
  clients_.push_back(std::make_unique<Client>(*this, std::move(fd)));
}

void ControlServer::prune() {
  std::erase_if(clients_, [](const auto& client) { return client->left_; });
}

Result<Json> ask_run(const std::string& directory, const Json& request) {
  auto fd = connect_unix(directory, "control.sock");
  if (!fd) return fd.error();
  if (auto sent = write_all(fd->get(), request.text() + "\n"); !sent) return sent.error();
  std::string answer;
  while (answer.find('\n') == std::string::npos) {
    pollfd ready{fd->get(), POLLIN, 0};
    if (poll(&ready, 1, answer_within_ms) <= 0)
      return error(Errc::timeout, "the run does not answer on %s/control.sock", directory.c_str());
    char bytes[1024];
    const ssize_t got = read(fd->get(), bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return error(Errc::closed, "the run ended before it answered");
    answer.append(bytes, static_cast<size_t>(got));
    if (answer.size() > 64 * 1024) return error(Errc::too_large, "the run's answer is too long");
  }
  return Json::parse(trim(answer));
}

}  // namespace moat
