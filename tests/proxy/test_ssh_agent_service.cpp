// SshAgentService between a client of the test's and an agent of the test's, and so SshAgentClient.
#include "proxy/ssh_agent_service.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "core/unix_socket.h"
#include "proxy/ssh_agent_client.h"
#include "ssh_messages.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using namespace moat::test;

namespace {

std::string framed(const std::string& message) {
  std::string out;
  put_ssh_string(out, message);
  return out;
}

std::string signature_answer() {
  std::string answer("\x0e", 1);
  put_ssh_string(answer, ssh_bytes(ssh_p256.signature));
  return answer;
}

struct ServiceTest : SshAgentObserver {
  Loop loop;
  std::string directory;
  Fd agent_listener;  // of the host's agent, which the test plays
  Fd agent;
  std::string agent_heard;
  SshAgentLimits limits;
  std::unique_ptr<SshAgentService> service;
  std::vector<SshUse> told_signed;
  std::vector<SshUse> told_refused;
  bool can_record = true;

  ServiceTest() {
    char pattern[] = "/tmp/moat-ssh-XXXXXX";
    if (mkdtemp(pattern) == nullptr) throw std::runtime_error("mkdtemp");
    directory = pattern;
    auto listening = listen_unix(directory, "agent", 8);
    if (!listening) throw std::runtime_error(listening.error().message);
    agent_listener = std::move(*listening);
  }
  ~ServiceTest() override {
    service.reset();
    for (const char* name : {"/agent", "/service"}) unlink((directory + name).c_str());
    rmdir(directory.c_str());
  }
  Result<void> recording() override {
    if (can_record) return {};
    return error(Errc::full, "the disk is full");
  }
  Result<void> on_ssh_signed(const SshUse& use) override {
    told_signed.push_back(use);
    return recording();
  }
  void on_ssh_refused(const SshUse& use) override { told_refused.push_back(use); }

  void serve(SshAgentPolicy policy = ssh_policy()) {
    for (auto& grant : policy.grants) grant.agent = directory + "/agent";
    auto listening = listen_unix(directory, "service", 64);
    if (!listening) throw std::runtime_error(listening.error().message);
    service = std::make_unique<SshAgentService>(loop, std::move(policy), std::move(*listening),
                                                static_cast<SshAgentObserver&>(*this), limits);
  }
  Fd client() {
    auto fd = connect_unix_now(directory + "/service");
    if (!fd) throw std::runtime_error(fd.error().message);
    return std::move(*fd);
  }
  static void say(const Fd& fd, const std::string& bytes) {
    if (send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size()))
      throw std::runtime_error("send");
  }
  // The next message, or "closed", or "silence".
  std::string answer(const Fd& fd, Milliseconds limit = std::chrono::seconds(5)) {
    std::string bytes;
    bool closed = false;
    turn_until(
        loop,
        [&] {
          char more[4096];
          const ssize_t got = recv(fd.get(), more, sizeof more, MSG_DONTWAIT);
          if (got > 0) bytes.append(more, static_cast<size_t>(got));
          closed = got == 0 || (got < 0 && errno == ECONNRESET);
          SshReader reader(bytes);
          (void)reader.string();
          return closed || reader.good();
        },
        limit);
    SshReader reader(bytes);
    const std::string message(reader.string());
    if (reader.done()) return message;
    return closed ? "closed" : "silence";
  }
  // What the host's agent is asked next, by whoever has connected to it.
  std::string asked() {
    turn_until(loop, [&] {
      if (!agent)
        agent = Fd(accept4(agent_listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      return static_cast<bool>(agent);
    });
    return answer(agent);
  }
  // As far as the question to the host's agent.
  Fd bound_client_that_asks() {
    Fd fd = client();
    say(fd, framed(SshBinding().message()));
    if (answer(fd) != "\x06") throw std::runtime_error("not bound");
    say(fd, framed(SshLogin().message()));
    return fd;
  }
};

void a_signature_is_made_by_the_hosts_agent_and_told(ServiceTest& t) {
  t.serve();
  const Fd client = t.bound_client_that_asks();
  bool right = t.asked() == SshBinding().message();
  assert_true(right);
  ServiceTest::say(t.agent, framed("\x06"));
  right = t.asked() == SshLogin().message() && t.told_signed.empty();
  assert_true(right);
  ServiceTest::say(t.agent, framed(signature_answer()));
  right = t.answer(client) == signature_answer();
  assert_true(right);
  right = t.told_signed.size() == 1 && t.told_refused.empty() && t.told_signed[0].user == "git";
  assert_true(right);
  // The connection to the host's agent is not kept.
  right = t.answer(t.agent) == "closed";
  assert_true(right);
}

void an_agent_that_knows_no_bindings_signs_all_the_same(ServiceTest& t) {
  t.serve();
  const Fd client = t.bound_client_that_asks();
  (void)t.asked();
  ServiceTest::say(t.agent, framed("\x05"));
  bool right = t.asked() == SshLogin().message();
  assert_true(right);
  ServiceTest::say(t.agent, framed(signature_answer()));
  right = t.answer(client) == signature_answer();
  assert_true(right);
}

void what_is_refused_reaches_no_agent(ServiceTest& t) {
  t.serve();
  const Fd client = t.client();
  ServiceTest::say(client, framed(SshLogin().message()));
  bool right = t.answer(client) == "\x05" && t.told_refused.size() == 1;
  assert_true(right);
  right = accept(t.agent_listener.get(), nullptr, nullptr) < 0;
  assert_true(right);
}

void what_the_hosts_agent_gives_is_looked_at(ServiceTest& t) {
  t.serve();
  std::string other("\x0e", 1);
  put_ssh_string(other, ssh_bytes(ssh_ed25519.signature));
  for (const std::string& given : {std::string("\x05"), other, std::string("\x0c\0\0\0\0", 5)}) {
    t.agent.reset();
    t.told_refused.clear();
    const Fd client = t.bound_client_that_asks();
    (void)t.asked();
    ServiceTest::say(t.agent, framed("\x06"));
    (void)t.asked();
    ServiceTest::say(t.agent, framed(given));
    const bool right = t.answer(client) == "\x05" && t.told_refused.size() == 1 &&
                       t.told_refused[0].reason.find("the agent that has the key") == 0;
    assert_true(right);
  }
  assert_true(t.told_signed.empty());
}

void an_agent_that_goes_away_or_is_silent_is_no_end(ServiceTest& t) {
  t.limits.signing = Milliseconds(100);
  t.serve();
  Fd client = t.bound_client_that_asks();
  (void)t.asked();
  t.agent.reset();
  bool right = t.answer(client) == "\x05";
  assert_true(right);
  ServiceTest::say(client, framed(SshLogin().message()));
  (void)t.asked();
  ServiceTest::say(t.agent, framed("\x06"));
  right = t.answer(client) == "\x05";  // for it says nothing more
  assert_true(right && t.told_refused.size() == 2);
  right = t.told_refused[1].reason.find("in time") != std::string::npos;
  assert_true(right);
  t.agent.reset();
  t.agent_listener.reset();
  ServiceTest::say(client, framed(SshLogin().message()));
  right = t.answer(client) == "\x05" && t.told_refused.size() == 3;
  assert_true(right);
  ServiceTest::say(client, framed("\x0b"));
  right = t.answer(client)[0] == '\x0c';
  assert_true(right);
}

void what_cannot_be_recorded_is_not_signed(ServiceTest& t) {
  t.can_record = false;
  t.serve();
  const Fd client = t.bound_client_that_asks();
  bool right = t.answer(client) == "\x05" && t.told_refused.size() == 1;
  assert_true(right);
  right = accept(t.agent_listener.get(), nullptr, nullptr) < 0;
  assert_true(right);
  // Nor given out, where that shows only then.
  t.can_record = true;
  ServiceTest::say(client, framed(SshLogin().message()));
  (void)t.asked();
  ServiceTest::say(t.agent, framed("\x06"));
  (void)t.asked();
  t.can_record = false;
  ServiceTest::say(t.agent, framed(signature_answer()));
  right = t.answer(client) == "\x05" && t.told_refused.size() == 2;
  assert_true(right);
}

void requests_may_come_together_and_in_pieces(ServiceTest& t) {
  t.serve();
  const Fd client = t.client();
  const std::string all = framed("\x0b") + framed("\x11") + framed("\x0b");
  for (const char byte : all) {
    ServiceTest::say(client, std::string(1, byte));
    t.loop.turn(Milliseconds(0));
  }
  std::string got;
  const bool right = turn_until(t.loop, [&] {
    char more[4096];
    const ssize_t size = recv(client.get(), more, sizeof more, MSG_DONTWAIT);
    if (size > 0) got.append(more, static_cast<size_t>(size));
    SshReader reader(got);
    for (int i = 0; i < 3; ++i) (void)reader.string();
    return reader.done();
  });
  assert_true(right && t.told_refused.size() == 1);
}

void a_request_that_is_too_long_ends_the_connection(ServiceTest& t) {
  t.serve();
  const Fd client = t.client();
  ServiceTest::say(client, std::string("\x00\x00\x80\x01", 4));
  bool right = t.answer(client) == "closed" && t.told_refused.size() == 1;
  assert_true(right);
  right = turn_until(t.loop, [&] { return t.service->connections() == 0; });
  assert_true(right);
}

void a_client_that_does_not_read_is_not_read(ServiceTest& t) {
  t.serve();
  const Fd client = t.client();
  // Each such request has an answer of some hundred bytes.
  const std::string requests = [] {
    std::string many;
    while (many.size() < 4096) many += framed("\x0b");
    return many;
  }();
  size_t sent = 0;
  int quiet = 0;
  while (quiet < 20 && sent < 8 * 1024 * 1024) {
    const ssize_t size =
        send(client.get(), requests.data(), requests.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    quiet = size < 0 ? quiet + 1 : 0;
    if (size > 0) sent += static_cast<size_t>(size);
    t.loop.turn(Milliseconds(0));
  }
  assert_true(sent < 2 * 1024 * 1024);
  // And the others are served.
  const Fd other = t.client();
  ServiceTest::say(other, framed("\x0b"));
  const bool right = t.answer(other)[0] == '\x0c';
  assert_true(right);
}

void more_clients_wait(ServiceTest& t) {
  t.limits.connections = 2;
  t.serve();
  Fd first = t.client();
  Fd second = t.client();
  const Fd third = t.client();
  ServiceTest::say(third, framed("\x0b"));
  bool right = t.answer(third, Milliseconds(100)) == "silence" && t.service->connections() == 2;
  assert_true(right);
  first.reset();
  right = t.answer(third)[0] == '\x0c';
  assert_true(right);
}

void a_client_may_leave_while_it_waits(ServiceTest& t) {
  t.serve();
  {
    const Fd client = t.bound_client_that_asks();
    (void)t.asked();
    ServiceTest::say(t.agent, framed("\x06"));
    (void)t.asked();
  }
  ServiceTest::say(t.agent, framed(signature_answer()));
  const bool gone = turn_until(t.loop, [&] { return t.service->connections() == 0; });
  assert_true(gone);
}

void the_service_may_end_at_any_time(ServiceTest& t) {
  t.serve();
  const Fd client = t.bound_client_that_asks();
  (void)t.asked();
  t.service.reset();
  const bool right = t.answer(client) == "closed" && t.answer(t.agent) == "closed";
  assert_true(right && t.told_signed.empty());
}

struct ClientTest : ServiceTest {
  std::optional<Result<std::string>> got;
  std::unique_ptr<SshAgentClient> asking;

  void ask(Milliseconds limit = std::chrono::seconds(5)) {
    auto made = SshAgentClient::connect(loop, directory + "/agent");
    if (!made) throw std::runtime_error(made.error().message);
    asking = std::move(*made);
    asking->ask("\x0b", limit, [this](const Result<std::string>& answer) { got.emplace(answer); });
  }
  bool ended(Errc code) {
    turn_until(loop, [&] { return got.has_value(); });
    return got && !*got && got->error().code == code;
  }
};

void each_end_of_an_agent_is_told(ClientTest& t) {
  t.ask();
  (void)t.asked();
  ServiceTest::say(t.agent, std::string("\xff\xff\xff\xff", 4));
  bool right = t.ended(Errc::too_large);
  assert_true(right);
  t.got.reset();
  t.agent.reset();
  t.ask(Milliseconds(50));
  right = t.ended(Errc::timeout);
  assert_true(right);
  t.got.reset();
  (void)t.asked();
  t.agent.reset();
  t.ask();
  (void)t.asked();
  ServiceTest::say(t.agent, "\x01");
  t.agent.reset();
  right = t.ended(Errc::closed);
  assert_true(right);
  const auto none = SshAgentClient::connect(t.loop, t.directory + "/none");
  assert_true(!none && none.error().code == Errc::not_found);
  const bool relative = !SshAgentClient::connect(t.loop, "agent");
  assert_true(relative);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ServiceTest, a_signature_is_made_by_the_hosts_agent_and_told),
      MOAT_TEST(ServiceTest, an_agent_that_knows_no_bindings_signs_all_the_same),
      MOAT_TEST(ServiceTest, what_is_refused_reaches_no_agent),
      MOAT_TEST(ServiceTest, what_the_hosts_agent_gives_is_looked_at),
      MOAT_TEST(ServiceTest, an_agent_that_goes_away_or_is_silent_is_no_end),
      MOAT_TEST(ServiceTest, what_cannot_be_recorded_is_not_signed),
      MOAT_TEST(ServiceTest, requests_may_come_together_and_in_pieces),
      MOAT_TEST(ServiceTest, a_request_that_is_too_long_ends_the_connection),
      MOAT_TEST(ServiceTest, a_client_that_does_not_read_is_not_read),
      MOAT_TEST(ServiceTest, more_clients_wait),
      MOAT_TEST(ServiceTest, a_client_may_leave_while_it_waits),
      MOAT_TEST(ServiceTest, the_service_may_end_at_any_time),
      MOAT_TEST(ClientTest, each_end_of_an_agent_is_told),
  };
  return cmocka_run_group_tests_name("proxy/ssh_agent_service", tests, nullptr, nullptr);
}
