// InitChannel against a moat-init that is not one: every way in which it could lie, stop or hurry.
#include "runtime/init_channel.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "runtime/init_protocol.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;
using namespace moat::test;

namespace {

std::string message(uint8_t type, std::string_view body) {
  std::string bytes(1, static_cast<char>(type));
  put_u32(bytes, static_cast<uint32_t>(body.size()));
  return bytes.append(body);
}

// Sends what it can, as a hostile peer does: errors are the channel's to cause.
void send_with(int fd, std::string_view bytes, const std::vector<int>& fds = {}) {
  std::vector<char> control(CMSG_SPACE(sizeof(int) * 256));
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(rights), fds.data(), sizeof(int) * fds.size());
  }
  if (sendmsg(fd, &header, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
    throw std::runtime_error(strerror(errno));
}

Fd make_bound(int family, int type, bool listening) {
  Fd fd(socket(family, type | SOCK_CLOEXEC, 0));
  sockaddr_storage address{};
  address.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET)
    reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  else
    reinterpret_cast<sockaddr_in6&>(address).sin6_addr = in6addr_loopback;
  const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      (listening && listen(fd.get(), 1) != 0))
    throw std::runtime_error("bind");
  return fd;
}

struct ChannelTest : InitObserver {
  Loop loop;
  std::string directory;
  InitSpec spec;
  std::unique_ptr<InitChannel> channel;
  Fd peer;
  Fd tcp = make_bound(AF_INET, SOCK_STREAM, true);
  Fd udp = make_bound(AF_INET, SOCK_DGRAM, false);

  std::vector<SandboxListener> listeners;
  SealProof proof;
  int sealed = 0;
  int started = 0;
  int ends = 0;
  int shell_status = 0;
  std::optional<Error> failed;
  std::optional<Error> lost;
  Fd terminal;
  std::optional<ExitStatus> exited;
  std::string destroy_in;  // the callback in which the channel is destroyed

  ChannelTest() {
    char pattern[] = "/tmp/moat-channel-XXXXXX";
    if (mkdtemp(pattern) == nullptr) throw std::runtime_error("mkdtemp");
    directory = pattern;
    spec.command = {"true"};
    open_channel();
  }
  ~ChannelTest() override {
    channel.reset();
    const std::string command = "rm -rf " + std::string(directory, 0, directory.find('/', 5));
    if (system(command.c_str()) != 0) print_error("rm\n");
  }

  void open_channel(Milliseconds limit = std::chrono::seconds(20)) {
    channel.reset();
    peer.reset();
    listeners.clear();
    sealed = started = ends = 0;
    failed.reset();
    lost.reset();
    exited.reset();
    auto made = InitChannel::create(loop, directory, spec, *this, limit);
    if (!made) throw std::runtime_error(made.error().message);
    channel = std::move(*made);
  }

  void told(const char* callback) {
    if (destroy_in == callback) channel.reset();
  }
  void on_sealed(std::vector<SandboxListener> all, const SealProof& seal) override {
    ++sealed;
    listeners = std::move(all);
    proof = seal;
    channel->go();
    told("sealed");
  }
  void on_started(Fd master) override {
    ++started;
    terminal = std::move(master);
    told("started");
  }
  void on_failed(const Error& error, int status) override {
    ++ends, failed = error, shell_status = status, told("failed");
  }
  void on_exited(ExitStatus status) override { ++ends, exited = status, told("exited"); }
  void on_lost(const Error& error) override { ++ends, lost = error, told("lost"); }

  // -1 and errno, or a connection to the channel's socket.
  Fd dial_in(const std::string& name = "init.sock") {
    const Fd there(open(directory.c_str(), O_PATH | O_CLOEXEC));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", there.get(),
             name.c_str());
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      const int error = errno;
      fd.reset();
      errno = error;
    }
    return fd;
  }

  [[nodiscard]] std::string hello() const { return message(MOAT_MSG_HELLO, channel->token()); }
  static std::string list() {
    return message(MOAT_MSG_LISTENERS, std::string("\x01\x01\x00\x03\x35\x00", 6));
  }
  static std::string seal() { return message(MOAT_MSG_SEALED, "interfaces: lo\nuid: 0\n"); }

  // To the moment when the spec has been sent, or has not.
  bool shake_hands() {
    peer = dial_in();
    if (!peer) return false;
    send_with(peer.get(), hello());
    return turn_until(loop, [&] { return readable(); });
  }
  bool seal_it() {
    if (!shake_hands()) return false;
    send_with(peer.get(), list() + seal(), {tcp.get(), udp.get()});
    return turn_until(loop, [&] { return sealed == 1 || ends > 0; }) && sealed == 1;
  }
  bool start_it() {
    if (!seal_it()) return false;
    send_with(peer.get(), message(MOAT_MSG_STARTED, ""));
    return turn_until(loop, [&] { return started == 1 || ends > 0; }) && started == 1;
  }
  bool ended() {
    return turn_until(loop, [&] { return ends > 0; }) && ends == 1;
  }
  bool lost_it() { return ended() && lost; }

  [[nodiscard]] bool readable() const {
    pollfd one{peer.get(), POLLIN, 0};
    return poll(&one, 1, 0) == 1;
  }
  // All that the channel has sent up to now.
  std::string received() {
    std::string all;
    char bytes[4096];
    ssize_t got = 0;
    while ((got = recv(peer.get(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
      all.append(bytes, static_cast<size_t>(got));
    return all;
  }
  // Has the channel closed its copy of the write end of this pipe?
  bool closed_everywhere(FdPair& pipe) {
    pipe.second.reset();
    return turn_until(loop, [&] {
      pollfd one{pipe.first.get(), POLLIN, 0};
      return poll(&one, 1, 0) == 1 && (one.revents & POLLHUP) != 0;
    });
  }
};

void a_sandbox_lives_from_hello_to_exit(ChannelTest& t) {
  const bool started = t.start_it();
  assert_true(started);
  assert_int_equal(t.channel->peer().pid, getpid());
  assert_int_equal(t.listeners.size(), 2);
  assert_true(t.listeners[0].kind == SandboxListener::Kind::tcp);
  assert_true(t.listeners[0].redirected && !t.listeners[0].ipv6);
  assert_int_equal(fcntl(t.listeners[0].fd.get(), F_GETFD), FD_CLOEXEC);
  assert_true((fcntl(t.listeners[0].fd.get(), F_GETFL) & O_NONBLOCK) != 0);
  assert_true(t.listeners[1].kind == SandboxListener::Kind::dns_udp);
  const bool proved = t.proof == SealProof{{"interfaces", "lo"}, {"uid", "0"}};
  assert_true(proved);
  t.received();
  t.channel->signal(15);
  const bool signalled = t.received() == message(MOAT_MSG_SIGNAL, "\x0f");
  assert_true(signalled);
  send_with(t.peer.get(), message(MOAT_MSG_EXITED, std::string("\x07\x00", 2)));
  const bool ended = t.ended();
  assert_true(ended);
  assert_true(t.exited && t.exited->code == 7 && t.exited->signal == 0);
  t.channel->go();  // after the end nothing happens, and nothing breaks
  t.channel->signal(9);
}

void a_signal_right_after_go_is_not_lost(ChannelTest& t) {
  const bool sealed = t.seal_it();  // go() is called in on_sealed
  assert_true(sealed);
  t.received();
  t.channel->signal(2);
  const bool signalled = t.received() == message(MOAT_MSG_SIGNAL, "\x02");
  assert_true(signalled);
}

void nothing_is_sent_before_the_token(ChannelTest& t) {
  t.peer = t.dial_in();
  send_with(t.peer.get(), t.hello().substr(0, 36));
  for (int i = 0; i < 5; ++i) t.loop.turn(Milliseconds(5));
  assert_false(t.readable());
}

void a_wrong_token_is_refused_and_the_right_one_still_taken(ChannelTest& t) {
  std::string wrong = t.hello();
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  const Fd intruder = t.dial_in();
  send_with(intruder.get(), wrong);
  const bool dropped = turn_until(t.loop, [&] {
    pollfd one{intruder.get(), POLLIN, 0};
    return poll(&one, 1, 0) == 1;
  });
  assert_true(dropped);
  char byte = 0;
  assert_true(recv(intruder.get(), &byte, 1, 0) <= 0);
  const bool started = t.start_it();
  assert_true(started);
}

void silent_connections_keep_nobody_out(ChannelTest& t) {
  std::vector<Fd> silent;
  for (int i = 0; i < 8; ++i) silent.push_back(t.dial_in());
  for (int i = 0; i < 12; ++i) t.loop.turn(Milliseconds(2));
  for (int i = 0; i < 8; ++i) silent.push_back(t.dial_in());
  for (int i = 0; i < 12; ++i) t.loop.turn(Milliseconds(2));
  const bool sealed = t.seal_it();
  assert_true(sealed);
}

void a_second_connection_is_refused(ChannelTest& t) {
  const std::string kept = t.directory + "/kept";
  assert_int_equal(link(t.channel->socket_path().c_str(), kept.c_str()), 0);
  const Fd early = t.dial_in();  // connected, but without a hello when the other one is taken
  const bool taken = t.shake_hands();
  assert_true(taken);
  const Fd late = t.dial_in();
  assert_true(!late && errno == ENOENT);
  const Fd by_link = t.dial_in("kept");
  assert_true(!by_link && errno == ECONNREFUSED);
  char byte = 0;
  const ssize_t got = recv(early.get(), &byte, 1, 0);
  assert_true(got <= 0);
}

void a_long_directory_is_no_obstacle(ChannelTest& t) {
  const std::string top = t.directory;
  t.directory += "/" + std::string(120, 'd');
  assert_int_equal(mkdir(t.directory.c_str(), 0700), 0);
  t.open_channel();
  const bool taken = t.shake_hands();
  assert_true(taken);
}

void a_directory_that_is_not_there_is_named(ChannelTest& t) {
  auto made = InitChannel::create(t.loop, "/no/such", t.spec, t);
  assert_true(!made && made.error().message.find("/no/such") == 0);
}

void silence_has_a_limit(ChannelTest& t) {
  t.open_channel(Milliseconds(30));
  const bool lost = t.lost_it();
  assert_true(lost);
  assert_true(t.lost->code == Errc::timeout);
  t.open_channel(Milliseconds(60));
  const bool taken = t.shake_hands();
  assert_true(taken);
  const bool lost_later = t.lost_it();
  assert_true(lost_later && t.lost->code == Errc::timeout);
}

// What init may send from each state on, each time the first wrong thing.
void each_message_is_refused_where_it_does_not_belong(ChannelTest& t) {
  const std::string bodies[] = {
      message(MOAT_MSG_HELLO, ""),
      message(MOAT_MSG_SPEC, ""),
      ChannelTest::list(),
      ChannelTest::seal(),
      message(MOAT_MSG_GO, ""),
      message(MOAT_MSG_STARTED, ""),
      message(MOAT_MSG_SIGNAL, "\x09"),
      message(MOAT_MSG_DIAL, "123456"),
      message(MOAT_MSG_DIALED, std::string(8, '\0')),
      message(MOAT_MSG_EXITED, "\x01\x01"),
      message(0, ""),
      message(255, ""),
  };
  struct Stage {
    bool (ChannelTest::*reach)();
    uint8_t right;  // the one message of the list that is right there
  };
  const Stage stages[] = {{&ChannelTest::shake_hands, MOAT_MSG_LISTENERS},
                          {&ChannelTest::seal_it, MOAT_MSG_STARTED},
                          {&ChannelTest::start_it, MOAT_MSG_EXITED}};
  for (const Stage& stage : stages) {
    for (const std::string& bytes : bodies) {
      if (static_cast<uint8_t>(bytes[0]) == stage.right) continue;
      t.open_channel();
      const bool reached = (t.*stage.reach)();
      assert_true(reached);
      send_with(t.peer.get(), bytes);
      const bool lost = t.lost_it();
      assert_true(lost);
      assert_true(t.lost->code == Errc::invalid);
    }
  }
}

void an_end_at_each_stage_is_told_once(ChannelTest& t) {
  for (const auto reach :
       {&ChannelTest::shake_hands, &ChannelTest::seal_it, &ChannelTest::start_it}) {
    t.open_channel();
    const bool reached = (t.*reach)();
    assert_true(reached);
    t.peer.reset();
    const bool lost = t.lost_it();
    assert_true(lost);
    for (int i = 0; i < 3; ++i) t.loop.turn(Milliseconds(1));
    assert_int_equal(t.ends, 1);
  }
}

void an_oversize_message_is_refused_by_its_header(ChannelTest& t) {
  const bool taken = t.shake_hands();
  assert_true(taken);
  std::string header(1, static_cast<char>(MOAT_MSG_SEALED));
  put_u32(header, MOAT_INIT_MAX_REPLY + 1);
  send_with(t.peer.get(), header);
  const bool lost = t.lost_it();
  assert_true(lost && t.lost->code == Errc::too_large);
}

void a_descriptor_where_none_belongs_is_closed_and_refused(ChannelTest& t) {
  const bool started = t.start_it();
  assert_true(started);
  auto pipe = make_pipe();
  send_with(t.peer.get(), message(MOAT_MSG_EXITED, std::string(3, '\0')), {pipe->second.get()});
  const bool lost = t.lost_it();
  assert_true(lost);
  const bool closed = t.closed_everywhere(*pipe);
  assert_true(closed);

  t.open_channel();
  const bool sealed = t.shake_hands();
  assert_true(sealed);
  auto other = make_pipe();
  send_with(t.peer.get(), t.list() + t.seal(), {t.tcp.get(), t.udp.get(), other->second.get()});
  const bool lost_again = t.lost_it();
  assert_true(lost_again);
  const bool closed_again = t.closed_everywhere(*other);
  assert_true(closed_again);
}

void more_descriptors_than_there_may_be_are_closed(ChannelTest& t) {
  const bool taken = t.shake_hands();
  assert_true(taken);
  auto pipe = make_pipe();
  send_with(t.peer.get(), "\x03", std::vector<int>(MOAT_INIT_MAX_FDS + 1, pipe->second.get()));
  const bool lost = t.lost_it();
  assert_true(lost && t.lost->code == Errc::too_large);
  const bool closed = t.closed_everywhere(*pipe);
  assert_true(closed);
}

void a_listener_must_be_one(ChannelTest& t) {
  const Fd tcp6 = make_bound(AF_INET6, SOCK_STREAM, true);
  const Fd deaf = make_bound(AF_INET, SOCK_STREAM, false);
  const Fd unbound(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const Fd file(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  auto pair = make_socket_pair(SOCK_STREAM);
  const std::string body("\x01\x01\x00\x03\x35\x00", 6);
  const std::string agent("\x09\x00\x00\x03\x35\x00", 6);
  const std::string unknown("\x0a\x01\x00\x03\x35\x00", 6);
  const std::string no_dns("\x01\x01\x00\x07\x35\x00", 6);
  struct Case {
    std::string body;
    std::vector<int> fds;
  };
  const Case cases[] = {
      {body, {tcp6.get(), t.udp.get()}},        {body, {deaf.get(), t.udp.get()}},
      {body, {file.get(), t.udp.get()}},        {body, {pair->first.get(), t.udp.get()}},
      {body, {t.udp.get(), t.udp.get()}},       {body, {t.tcp.get(), t.tcp.get()}},
      {body, {t.tcp.get(), unbound.get()}},     {body, {t.tcp.get()}},
      {agent, {t.tcp.get(), t.udp.get()}},      {agent, {pair->first.get(), t.udp.get()}},
      {unknown, {t.tcp.get(), t.udp.get()}},    {no_dns, {t.tcp.get(), t.tcp.get()}},
      {body + "x", {t.tcp.get(), t.udp.get()}}, {"", {}},
  };
  for (const Case& one : cases) {
    t.open_channel();
    const bool taken = t.shake_hands();
    assert_true(taken);
    send_with(t.peer.get(), message(MOAT_MSG_LISTENERS, one.body), one.fds);
    const bool lost = t.lost_it();
    assert_true(lost && t.lost->code == Errc::invalid);
  }
}

void a_proof_must_be_readable(ChannelTest& t) {
  for (const char* body : {"", "interfaces: lo", "interfaces\n", ": lo\n", "a: b\n\n"}) {
    t.open_channel();
    const bool taken = t.shake_hands();
    assert_true(taken);
    send_with(t.peer.get(), t.list() + message(MOAT_MSG_SEALED, body), {t.tcp.get(), t.udp.get()});
    const bool lost = t.lost_it();
    assert_true(lost);
  }
}

void a_proof_has_no_control_characters(ChannelTest& t) {
  const bool taken = t.shake_hands();
  assert_true(taken);
  send_with(t.peer.get(), t.list() + message(MOAT_MSG_SEALED, "kernel: \x1b[2J\n"),
            {t.tcp.get(), t.udp.get()});
  const bool sealed = turn_until(t.loop, [&] { return t.sealed == 1; });
  assert_true(sealed);
  const bool clean = t.proof[0].second == "\\x1b[2J";
  assert_true(clean);
}

void a_conversation_may_come_byte_by_byte(ChannelTest& t) {
  const std::string all = t.hello() + t.list() + t.seal() + message(MOAT_MSG_STARTED, "") +
                          message(MOAT_MSG_EXITED, std::string("\x00\x09", 2));
  const size_t listeners_at = t.hello().size();
  t.peer = t.dial_in();
  for (size_t i = 0; i < all.size(); ++i) {
    send_with(t.peer.get(), all.substr(i, 1),
              i == listeners_at ? std::vector<int>{t.tcp.get(), t.udp.get()} : std::vector<int>{});
    t.loop.turn(Milliseconds(0));
  }
  const bool ended = t.ended();
  assert_true(ended);
  assert_true(t.sealed == 1 && t.started == 1 && t.exited && t.exited->signal == 9);
}

void a_conversation_cut_anywhere_is_lost(ChannelTest& t) {
  const std::string rest = t.list() + t.seal() + message(MOAT_MSG_STARTED, "") +
                           message(MOAT_MSG_EXITED, std::string(2, '\0'));
  for (size_t cut = 0; cut < rest.size(); ++cut) {
    t.open_channel();
    t.peer = t.dial_in();
    send_with(t.peer.get(), t.hello());
    if (cut > 0) send_with(t.peer.get(), rest.substr(0, cut), {t.tcp.get(), t.udp.get()});
    t.peer.reset();
    const bool lost = t.lost_it();
    assert_true(lost);
    assert_false(t.exited.has_value());
  }
}

void a_hello_cut_anywhere_changes_nothing(ChannelTest& t) {
  const std::string hello = t.hello();
  for (size_t cut = 0; cut < hello.size(); ++cut) {
    const Fd fd = t.dial_in();
    if (cut > 0) send_with(fd.get(), hello.substr(0, cut));
    t.loop.turn(Milliseconds(1));
  }
  const bool sealed = t.seal_it();
  assert_true(sealed);
}

void a_terminal_must_be_one(ChannelTest& t) {
  t.spec.terminal = TerminalSize{24, 80};
  const std::string started = message(MOAT_MSG_STARTED, "");
  const Fd master(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  assert_true(master.get() >= 0);
  const Fd reading(open("/dev/ptmx", O_RDONLY | O_NOCTTY | O_CLOEXEC));
  const Fd device(open("/dev/zero", O_RDWR | O_CLOEXEC));
  auto pipe = make_pipe();
  for (const int fd : {-1, t.tcp.get(), device.get(), pipe->first.get(), reading.get()}) {
    t.open_channel();
    const bool sealed = t.seal_it();
    assert_true(sealed);
    send_with(t.peer.get(), started, fd < 0 ? std::vector<int>() : std::vector<int>{fd});
    const bool lost = t.lost_it();
    assert_true(lost && t.started == 0);
  }
  t.open_channel();
  const bool sealed = t.seal_it();
  assert_true(sealed);
  send_with(t.peer.get(), started, {master.get()});
  const bool begun = turn_until(t.loop, [&] { return t.started == 1 || t.ends > 0; });
  assert_true(begun && t.started == 1 && t.terminal);
  assert_true((fcntl(t.terminal.get(), F_GETFL) & O_NONBLOCK) != 0);
  assert_int_equal(fcntl(t.terminal.get(), F_GETFD), FD_CLOEXEC);
}

void a_failure_says_what_to_do(ChannelTest& t) {
  struct Case {
    int number;
    const char* stage;
    int status;
    const char* beginning;
  };
  const Case cases[] = {
      {ENOENT, "exec", 127, "true: command not found in the sandbox"},
      {EACCES, "exec", 126, "true: cannot be executed in the sandbox: Permission denied"},
      {ENOENT, "workdir", 125, "/: cannot be the working directory in the sandbox: No such"},
      {EEXIST, "seal: interface eth0 is up", 125, "the sandbox is not sealed, so nothing was run"},
      {EROFS, "/etc/hosts", 125, "moat-init could not prepare the sandbox: /etc/hosts: Read-only"},
  };
  for (const Case& one : cases) {
    t.open_channel();
    const bool taken = t.shake_hands();
    assert_true(taken);
    std::string body;
    put_u32(body, static_cast<uint32_t>(one.number));
    send_with(t.peer.get(), message(MOAT_MSG_FAILED, body + one.stage));
    const bool ended = t.ended();
    assert_true(ended && t.failed);
    assert_int_equal(t.shell_status, one.status);
    const bool right = t.failed->message.find(one.beginning) == 0;
    if (!right) print_error("%s\n", t.failed->message.c_str());
    assert_true(right);
  }
}

void a_dial_gives_a_connection_or_the_reason(ChannelTest& t) {
  int called = 0;
  std::optional<Error> early;
  t.channel->dial(80, [&](Result<Fd> fd) {
    if (!fd) early = fd.error();
  });
  assert_false(early.has_value());  // from the loop, not from inside the call
  const bool told = turn_until(t.loop, [&] { return early.has_value(); });
  assert_true(told && early->code == Errc::closed);

  const bool started = t.start_it();
  assert_true(started);
  t.received();
  Fd connection;
  std::optional<Error> refused;
  std::optional<Error> unanswered;
  t.channel->dial(8080, [&](Result<Fd> fd) { ++called, connection = std::move(*fd); });
  t.channel->dial(8081, [&](Result<Fd> fd) { ++called, refused = fd.error(); });
  t.channel->dial(8082, [&](Result<Fd> fd) { ++called, unanswered = fd.error(); });
  const bool asked = t.received().substr(0, 11) ==
                     message(MOAT_MSG_DIAL, std::string("\x01\x00\x00\x00\x90\x1f", 6));
  assert_true(asked);
  auto pair = make_socket_pair(SOCK_STREAM);
  std::string no("\x02\x00\x00\x00", 4);
  put_u32(no, ECONNREFUSED);
  send_with(t.peer.get(), message(MOAT_MSG_DIALED, no));
  send_with(t.peer.get(), message(MOAT_MSG_DIALED, std::string("\x01\0\0\0\0\0\0\0", 8)),
            {pair->first.get()});
  const bool answered = turn_until(t.loop, [&] { return called == 2; });
  assert_true(answered && connection && refused->code == Errc::refused);
  t.peer.reset();
  const bool lost = t.lost_it();
  assert_true(lost && called == 3 && unanswered->code == Errc::closed);
}

void dials_have_a_limit(ChannelTest& t) {
  const bool started = t.start_it();
  assert_true(started);
  int busy = 0;
  for (int i = 0; i < MOAT_INIT_MAX_DIALS + 3; ++i)
    t.channel->dial(80, [&](Result<Fd> fd) {
      if (!fd && fd.error().code == Errc::busy) ++busy;
    });
  const bool told = turn_until(t.loop, [&] { return busy == 3; });
  assert_true(told);
}

void a_dial_may_not_be_answered_with_a_file(ChannelTest& t) {
  const bool started = t.start_it();
  assert_true(started);
  t.channel->dial(80, [](Result<Fd>) {});
  const Fd file(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  send_with(t.peer.get(), message(MOAT_MSG_DIALED, std::string("\x01\0\0\0\0\0\0\0", 8)),
            {file.get()});
  const bool lost = t.lost_it();
  assert_true(lost);
}

void any_callback_may_destroy_the_channel(ChannelTest& t) {
  for (const char* callback : {"sealed", "started", "exited", "lost", "failed"}) {
    t.destroy_in = callback;
    t.open_channel();
    t.peer = t.dial_in();
    send_with(t.peer.get(), t.hello());
    std::string rest = t.list() + t.seal() + message(MOAT_MSG_STARTED, "");
    const std::string_view name = callback;
    if (name == "failed")
      rest = message(MOAT_MSG_FAILED, "1234bang");
    else if (name == "lost")
      rest += message(99, "");
    else
      rest += message(MOAT_MSG_EXITED, std::string(2, '\0'));
    send_with(t.peer.get(), rest,
              name == "failed" ? std::vector<int>{} : std::vector<int>{t.tcp.get(), t.udp.get()});
    const bool gone = turn_until(t.loop, [&] { return !t.channel; });
    assert_true(gone);
    for (int i = 0; i < 3; ++i) t.loop.turn(Milliseconds(1));
  }
  t.destroy_in.clear();
}

void destroying_it_closes_the_connection_and_removes_the_socket(ChannelTest& t) {
  const std::string path = t.channel->socket_path();
  assert_int_equal(access(path.c_str(), F_OK), 0);
  t.channel.reset();
  assert_int_equal(access(path.c_str(), F_OK), -1);
  t.open_channel();
  const bool started = t.start_it();
  assert_true(started);
  t.received();
  t.channel.reset();
  char byte = 0;
  assert_int_equal(recv(t.peer.get(), &byte, 1, 0), 0);
}

void a_large_spec_arrives_whole(ChannelTest& t) {
  t.spec.env = {{"BIG", std::string(4 << 20, 'x')}};
  t.open_channel();
  const auto encoded = encode_init_spec(t.spec);
  const bool taken = t.shake_hands();
  assert_true(taken && encoded);
  std::string got;
  const bool whole = turn_until(t.loop, [&] {
    got += t.received();
    return got.size() >= encoded->size() + 5;
  });
  assert_true(whole);
  const bool same = got == message(MOAT_MSG_SPEC, *encoded);
  assert_true(same);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ChannelTest, a_sandbox_lives_from_hello_to_exit),
      MOAT_TEST(ChannelTest, a_signal_right_after_go_is_not_lost),
      MOAT_TEST(ChannelTest, nothing_is_sent_before_the_token),
      MOAT_TEST(ChannelTest, a_wrong_token_is_refused_and_the_right_one_still_taken),
      MOAT_TEST(ChannelTest, silent_connections_keep_nobody_out),
      MOAT_TEST(ChannelTest, a_second_connection_is_refused),
      MOAT_TEST(ChannelTest, a_long_directory_is_no_obstacle),
      MOAT_TEST(ChannelTest, a_directory_that_is_not_there_is_named),
      MOAT_TEST(ChannelTest, silence_has_a_limit),
      MOAT_TEST(ChannelTest, each_message_is_refused_where_it_does_not_belong),
      MOAT_TEST(ChannelTest, an_end_at_each_stage_is_told_once),
      MOAT_TEST(ChannelTest, an_oversize_message_is_refused_by_its_header),
      MOAT_TEST(ChannelTest, a_descriptor_where_none_belongs_is_closed_and_refused),
      MOAT_TEST(ChannelTest, more_descriptors_than_there_may_be_are_closed),
      MOAT_TEST(ChannelTest, a_listener_must_be_one),
      MOAT_TEST(ChannelTest, a_proof_must_be_readable),
      MOAT_TEST(ChannelTest, a_proof_has_no_control_characters),
      MOAT_TEST(ChannelTest, a_conversation_may_come_byte_by_byte),
      MOAT_TEST(ChannelTest, a_conversation_cut_anywhere_is_lost),
      MOAT_TEST(ChannelTest, a_hello_cut_anywhere_changes_nothing),
      MOAT_TEST(ChannelTest, a_terminal_must_be_one),
      MOAT_TEST(ChannelTest, a_failure_says_what_to_do),
      MOAT_TEST(ChannelTest, a_dial_gives_a_connection_or_the_reason),
      MOAT_TEST(ChannelTest, dials_have_a_limit),
      MOAT_TEST(ChannelTest, a_dial_may_not_be_answered_with_a_file),
      MOAT_TEST(ChannelTest, any_callback_may_destroy_the_channel),
      MOAT_TEST(ChannelTest, destroying_it_closes_the_connection_and_removes_the_socket),
      MOAT_TEST(ChannelTest, a_large_spec_arrives_whole),
  };
  return cmocka_run_group_tests_name("runtime/init_channel", tests, nullptr, nullptr);
}
