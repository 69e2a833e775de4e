#include "runtime/init_channel.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/crypto.h"
#include "core/secret.h"
#include "core/text.h"
#include "core/unix_socket.h"
#include "runtime/init_protocol.h"

namespace moat::runtime {

namespace {

constexpr const char* socket_name = "init.sock";
constexpr size_t hello_size = 5 + MOAT_INIT_TOKEN;
constexpr size_t max_candidates = 8;
constexpr size_t max_queued = MOAT_INIT_MAX_SPEC + 64 * 1024;  // the spec, and what is sent later

bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

std::string seconds(Milliseconds limit) {
  return format("%lld", static_cast<long long>((limit.count() + 999) / 1000));
}

}  // namespace

struct InitChannel::Candidate {
  Fd fd;
  std::string hello;
  std::optional<Watch> watch;  // depends-on: fd
};

InitChannel::InitChannel(Loop& loop, InitObserver& observer)
    : loop_(loop), observer_(observer), deadline_(loop, [this] {
        lose(error(Errc::timeout, "moat-init %s within %s seconds; see what the engine says of it",
                   state_ == State::listening ? "did not connect from the sandbox"
                                              : "did not seal the sandbox",
                   seconds(limit_).c_str()));
      }) {}

InitChannel::~InitChannel() {
  stop_listening();
}

Result<std::unique_ptr<InitChannel>> InitChannel::create(Loop& loop, const std::string& directory,
                                                         const InitSpec& spec,
                                                         InitObserver& observer,
                                                         Milliseconds limit) {
  auto encoded = encode_init_spec(spec);
  if (!encoded) return encoded.error();
  std::unique_ptr<InitChannel> made(new InitChannel(loop, observer));
  made->token_ = hex(random_bytes(MOAT_INIT_TOKEN / 2));
  made->spec_ = std::move(*encoded);
  made->command_ = spec.command.front();
  made->workdir_ = spec.workdir;
  made->has_terminal_ = spec.terminal.has_value();
  made->limit_ = limit;
  if (auto listening = made->listen_in(directory); !listening) return listening.error();
  made->deadline_.start(limit);
  return made;
}

Result<void> InitChannel::listen_in(const std::string& directory) {
  path_ = directory + "/" + socket_name;
  directory_ = Fd(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory_) return errno_error("%s", directory.c_str());
  unlinkat(directory_.get(), socket_name, 0);
  auto listener = listen_unix(directory, socket_name, static_cast<int>(max_candidates));
  if (!listener) return listener.error();
  listener_ = std::move(*listener);
  // The sandbox's root may be nobody on the host. The directory keeps others out, the token them.
  if (fchmodat(directory_.get(), socket_name, 0666, 0) != 0)
    return errno_error("cannot open %s to the sandbox", path_.c_str());
  accepting_.emplace(
      loop_, listener_.get(), [this](Ready) { on_acceptable(); }, Priority::control);
  accepting_->want(true, false);
  return {};
}

void InitChannel::stop_listening() {
  candidates_.clear();
  accepting_.reset();
  if (listener_) unlinkat(directory_.get(), socket_name, 0);
  listener_.reset();
  directory_.reset();
}

void InitChannel::on_acceptable() {
  Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return;
  if (candidates_.size() == max_candidates) candidates_.erase(candidates_.begin());
  auto candidate = std::make_unique<Candidate>();
  Candidate& its = *candidate;
  its.fd = std::move(fd);
  its.watch.emplace(
      loop_, its.fd.get(), [this, &its](Ready) { on_candidate(its); }, Priority::control);
  its.watch->want(true, false);
  candidates_.push_back(std::move(candidate));
}

void InitChannel::drop(const Candidate& candidate) {
  candidates_.erase(std::find_if(candidates_.begin(), candidates_.end(),
                                 [&](const auto& one) { return one.get() == &candidate; }));
}

void InitChannel::on_candidate(Candidate& candidate) {
  // Not a byte more than a hello: what follows is for the connection's own reader, with its
  // descriptors. Those that come here are discarded by the kernel.
  char bytes[hello_size];
  const ssize_t got =
      recv(candidate.fd.get(), bytes, hello_size - candidate.hello.size(), MSG_DONTWAIT);
  if (got < 0 && would_block()) return;
  if (got <= 0) {
    drop(candidate);
    return;
  }
  candidate.hello.append(bytes, static_cast<size_t>(got));
  if (candidate.hello.size() < hello_size) return;
  std::string expected(1, static_cast<char>(MOAT_MSG_HELLO));
  put_u32(expected, MOAT_INIT_TOKEN);
  expected += token_;
  if (!equal_in_constant_time(candidate.hello, expected)) {
    drop(candidate);
    return;
  }
  candidate.watch.reset();
  adopt(std::move(candidate.fd));
}

void InitChannel::adopt(Fd connection) {
  connection_ = std::move(connection);
  stop_listening();
  socklen_t size = sizeof peer_;
  if (getsockopt(connection_.get(), SOL_SOCKET, SO_PEERCRED, &peer_, &size) != 0) peer_ = {};
  state_ = State::awaiting_listeners;
  watch_.emplace(
      loop_, connection_.get(), [this](Ready ready) { on_ready(ready); }, Priority::control);
  watch_->want(true, false);
  send(MOAT_MSG_SPEC, spec_);
  spec_ = {};
}

void InitChannel::on_ready(Ready ready) {
  const std::weak_ptr<char> life = life_;
  if (ready.write) write_some();
  if (!ready.read) return;
  const Result<bool> open = read_some();
  if (!open) {
    lose(open.error());
    return;
  }
  handle_messages();
  if (life.expired() || state_ == State::over) return;
  if (!*open)
    lose(error(Errc::closed, state_ == State::running
                                 ? "moat-init is gone: the sandbox was killed from outside"
                                 : "moat-init ended before it had sealed the sandbox"));
}

Result<bool> InitChannel::read_some() {
  char bytes[16 * 1024];
  alignas(cmsghdr) char control[CMSG_SPACE(MOAT_INIT_MAX_FDS * sizeof(int))];
  iovec part{bytes, sizeof bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(connection_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && would_block()) return true;
  if (got < 0) return errno == ECONNRESET ? Result<bool>(false) : errno_error("moat-init's socket");

  std::vector<Fd> fds;
  for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(one) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    return error(Errc::too_large, "moat-init sent more than %d descriptors", MOAT_INIT_MAX_FDS);
  auto fed = messages_.feed({bytes, static_cast<size_t>(got)}, std::move(fds));
  if (!fed) return fed.error().in("moat-init sent");
  return got > 0;
}

void InitChannel::handle_messages() {
  const std::weak_ptr<char> life = life_;
  while (state_ != State::over) {
    Result<std::optional<InitMessage>> message = messages_.next();
    Result<void> handled;
    if (message && *message) {
      handled = handle(**message);
    } else {
      handled = message ? messages_.settled() : message.error();
    }
    if (life.expired()) return;
    if (!handled) {
      lose(handled.error().in("moat-init sent"));
      return;
    }
    if (!*message) return;
  }
}

Result<void> InitChannel::handle(const InitMessage& message) {
  const std::string_view body = message.body;
  switch (message.type) {
    case MOAT_MSG_LISTENERS: {
      if (state_ != State::awaiting_listeners) break;
      auto fds = messages_.take(body.size() / 3);
      if (!fds) return fds.error();
      auto listeners = parse_listeners(body, std::move(*fds));
      if (!listeners) return listeners.error();
      listeners_ = std::move(*listeners);
      state_ = State::awaiting_seal;
      return {};
    }
    case MOAT_MSG_SEALED: {
      if (state_ != State::awaiting_seal) break;
      const auto proof = parse_proof(body);
      if (!proof) return proof.error();
      state_ = State::sealed;
      deadline_.stop();
      observer_.on_sealed(std::exchange(listeners_, {}), *proof);
      return {};
    }
    case MOAT_MSG_STARTED:
      if (state_ != State::starting) break;
      return take_started(body);
    case MOAT_MSG_FAILED:
      return take_failure(body);
    case MOAT_MSG_DIALED:
      if (state_ != State::running) break;
      return take_dialed(body);
    case MOAT_MSG_EXITED: {
      if (state_ != State::running) break;
      const auto status = parse_exit(body);
      if (!status) return status.error();
      finish(error(Errc::closed, "the command has ended"),
             [&observer = observer_, status = *status] { observer.on_exited(status); });
      return {};
    }
    default:
      break;
  }
  return error(Errc::invalid, "message %u, which does not belong here", message.type);
}

Result<void> InitChannel::take_started(std::string_view body) {
  if (!body.empty()) return error(Errc::invalid, "a start with something to say");
  Fd terminal;
  if (has_terminal_) {
    auto fds = messages_.take(1);
    if (!fds) return fds.error();
    terminal = std::move(fds->front());
    if (auto checked = check_terminal(terminal.get()); !checked) return checked;
    if (auto set = set_non_blocking(terminal.get()); !set) return set.error();
  }
  state_ = State::running;
  observer_.on_started(std::move(terminal));
  return {};
}

Result<void> InitChannel::take_failure(std::string_view body) {
  if (body.size() < 4) return error(Errc::invalid, "a failure cut short");
  const int number = static_cast<int>(get_u32(body, 0) & 0xffff);
  const std::string stage = printable(body.substr(4));
  const std::string why = number == 0 ? "" : format(": %s", strerror(number));
  const std::string command = printable(command_);
  Error failure{errc_from_errno(number), {}};
  int status = 125;
  if (stage == "exec" && (number == ENOENT || number == ENOTDIR)) {
    failure.message = command + ": command not found in the sandbox; give the path of one that is" +
                      " there, or a PATH that leads to it";
    status = 127;
  } else if (stage == "exec") {
    failure.message = command + ": cannot be executed in the sandbox" + why;
    status = 126;
  } else if (stage == "workdir") {
    failure.message =
        printable(workdir_) + ": cannot be the working directory in the sandbox" + why;
  } else if (stage.rfind("seal: ", 0) == 0) {
    failure.message = "the sandbox is not sealed, so nothing was run: " + stage.substr(6) + why;
  } else {
    failure.message = "moat-init could not prepare the sandbox: " + stage + why;
  }
  finish(failure, [&observer = observer_, failure, status, running = state_ == State::running] {
    if (running) {
      observer.on_lost(failure);
    } else {
      observer.on_failed(failure, status);
    }
  });
  return {};
}

Result<void> InitChannel::take_dialed(std::string_view body) {
  if (body.size() != 8) return error(Errc::invalid, "an answer to a dial, cut short");
  const auto waiting = dials_.find(get_u32(body, 0));
  if (waiting == dials_.end()) return error(Errc::invalid, "an answer that nobody waits for");
  const int number = static_cast<int>(get_u32(body, 4) & 0xffff);
  Fd connection;
  if (number == 0) {
    auto fds = messages_.take(1);
    if (!fds) return fds.error();
    connection = std::move(fds->front());
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(connection.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM)
      return error(Errc::invalid, "a descriptor that is no connection");
    if (auto set = set_non_blocking(connection.get()); !set) return set.error();
  }
  const auto done = std::move(waiting->second);
  dials_.erase(waiting);
  if (number == 0) {
    done(std::move(connection));
  } else {
    done(error(errc_from_errno(number), "no server in the sandbox answers: %s", strerror(number)));
  }
  return {};
}

void InitChannel::send(uint8_t type, std::string_view body) {
  if (!connection_ || out_.size() + body.size() > max_queued) return;
  std::string bytes(1, static_cast<char>(type));
  put_u32(bytes, static_cast<uint32_t>(body.size()));
  bytes.append(body);
  out_.append(bytes);
  write_some();
}

void InitChannel::write_some() {
  while (!out_.empty()) {
    const std::string_view bytes = out_.view();
    const ssize_t sent =
        ::send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && would_block()) break;
    // It is closed: reading says so, from the loop, after what it had to say before.
    if (sent < 0) out_.clear();
    if (sent > 0) out_.consume(static_cast<size_t>(sent));
  }
  watch_->want(true, !out_.empty());
}

void InitChannel::go() {
  if (state_ != State::sealed) return;
  state_ = State::starting;
  send(MOAT_MSG_GO, {});
}

void InitChannel::signal(int number) {
  if (!is_going() || number < 1 || number > 64) return;
  send(MOAT_MSG_SIGNAL, std::string(1, static_cast<char>(number)));
}

void InitChannel::dial(uint16_t port, std::function<void(Result<Fd>)> done) {
  if (!is_going() || dials_.size() == MOAT_INIT_MAX_DIALS) {
    loop_.defer([life = std::weak_ptr<char>(life_), going = is_going(), done = std::move(done)] {
      if (life.expired()) return;
      done(going ? error(Errc::busy, "too many connections into the sandbox are being made")
                 : error(Errc::closed, "no command is running in the sandbox"));
    });
    return;
  }
  const uint32_t id = next_dial_++;
  dials_[id] = std::move(done);
  std::string body;
  put_u32(body, id);
  body.push_back(static_cast<char>(port & 0xff));
  body.push_back(static_cast<char>(port >> 8));
  send(MOAT_MSG_DIAL, body);
}

void InitChannel::finish(const Error& why, const std::function<void()>& tell) {
  const std::weak_ptr<char> life = life_;
  state_ = State::over;
  deadline_.stop();
  stop_listening();
  watch_.reset();
  connection_.reset();
  messages_ = {};
  listeners_.clear();
  const auto dials = std::exchange(dials_, {});
  for (const auto& [id, done] : dials) {
    done(why);
    if (life.expired()) return;
  }
  tell();
}

void InitChannel::lose(const Error& error) {
  finish(error, [&observer = observer_, error] { observer.on_lost(error); });
}

}  // namespace moat::runtime
