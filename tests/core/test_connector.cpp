#include "core/connector.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <memory>

#include "moat_test.h"

namespace moat::test {
namespace {

struct ConnectorTest {
  Loop loop;
  Fd listener{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  SocketAddress open_address;    // somebody listens
  SocketAddress closed_address;  // nobody does
  std::vector<SocketAddress> addresses;
  std::unique_ptr<Connector> connector;
  std::optional<Result<Fd>> result;
  SocketAddress reached;
  std::string text;
  std::vector<Fd> silent;
  std::vector<Fd> fillers;

  ConnectorTest() {
    open_address = *SocketAddress::from_ip("127.0.0.1", 0);
    closed_address = *SocketAddress::from_ip("127.0.0.2", 0);
    bind(listener.get(), open_address.get(), open_address.size);
    listen(listener.get(), 5);
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size);
    open_address = SocketAddress::from(reinterpret_cast<sockaddr*>(&bound), size);
    closed_address.set_port(open_address.port());
  }
  void connect(Milliseconds limit = Milliseconds(2000)) {
    result.reset();
    connector = std::make_unique<Connector>(loop, addresses, limit,
                                            [this](Result<Fd> fd, const SocketAddress& address) {
                                              result.emplace(std::move(fd));
                                              reached = address;
                                              connector.reset();  // in its own callback
                                            });
  }
  // A backlog that is full drops what comes: nothing answers, and nothing refuses.
  SocketAddress silent_address() {
    const std::string ip = "127.0.1." + std::to_string(silent.size() + 1);
    SocketAddress address = *SocketAddress::from_ip(ip, 0);
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    bind(fd.get(), address.get(), address.size);
    listen(fd.get(), 0);
    socklen_t size = sizeof address.storage;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address.storage), &size);
    for (int i = 0; i < 4; ++i) {
      fillers.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      ::connect(fillers.back().get(), address.get(), address.size);
    }
    silent.push_back(std::move(fd));
    return address;
  }
  // Makes room in the backlog, for the kernel's next try (of a second after the first).
  void wake_up(size_t which) {
    listen(silent[which].get(), 64);
    while (Fd(accept4(silent[which].get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC))) {
    }
  }
  bool done() {
    return turn_until(loop, [this] { return result.has_value(); });
  }
};

void addresses_are_read_and_written(ConnectorTest& t) {
  constexpr std::pair<const char*, const char*> cases[] = {{"192.0.2.1", "192.0.2.1:443"},
                                                           {"2001:db8::1", "[2001:db8::1]:443"},
                                                           {"::ffff:192.0.2.1", "192.0.2.1:443"}};
  for (const auto& [ip, text] : cases) {
    t.addresses = {*SocketAddress::from_ip(ip, 443)};
    t.text = t.addresses[0].text();
    assert_string_equal(t.text.c_str(), text);
    assert_int_equal(t.addresses[0].port(), 443);
  }
  for (const char* bad : {"", "localhost", "1.2.3", "1.2.3.4.5", "01.2.3.4", "[::1]", "1.2.3.4 ",
                          "fe80::1%lo", "127.1", "0x7f000001"}) {
    const bool accepted = SocketAddress::from_ip(bad, 1).has_value();
    assert_false(accepted);
  }
}

void it_connects(ConnectorTest& t) {
  t.addresses = {t.open_address};
  t.connect();
  assert_false(t.result.has_value());  // never from inside the constructor
  assert_true(t.done());
  assert_true(t.result->has_value());
  t.text = t.reached.text();
  assert_true(t.text == t.open_address.text());
}

void it_goes_on_to_the_next_address(ConnectorTest& t) {
  t.addresses = {t.closed_address, *SocketAddress::from_ip("::1", t.open_address.port()),
                 t.open_address};
  t.connect();
  assert_true(t.done());
  assert_true(t.result->has_value());
  t.text = t.reached.ip();
  assert_string_equal(t.text.c_str(), "127.0.0.1");
}

void a_failure_names_the_address(ConnectorTest& t) {
  t.addresses = {t.closed_address};
  t.connect();
  assert_true(t.done());
  assert_int_equal(t.result->error().code, Errc::refused);
  t.text = t.result->error().message;
  assert_true(t.text.find("cannot connect to 127.0.0.2:") == 0);
  t.addresses.clear();
  t.connect();
  assert_true(t.done());
  assert_int_equal(t.result->error().code, Errc::invalid);
}

void every_failure_is_told(ConnectorTest& t) {
  SocketAddress second = t.closed_address;
  second = *SocketAddress::from_ip("127.0.0.4", t.closed_address.port());
  t.addresses = {t.closed_address, second};
  t.connect();
  assert_true(t.done());
  assert_int_equal(t.result->error().code, Errc::refused);
  t.text = "cannot connect to " + t.closed_address.text() + ": Connection refused; " +
           second.text() + ": Connection refused";
  assert_string_equal(t.result->error().message.c_str(), t.text.c_str());
}

void an_address_that_does_not_answer_holds_up_the_next_for_a_moment(ConnectorTest& t) {
  t.addresses = {t.silent_address(), t.open_address};
  const auto begin = std::chrono::steady_clock::now();
  t.connect();
  assert_true(t.done());
  const auto took = std::chrono::steady_clock::now() - begin;
  assert_true(t.result->has_value());
  const bool after_the_delay = took >= Milliseconds(240) && took < Milliseconds(1500);
  assert_true(after_the_delay);
}

// It is still being tried while the next has its turn.
void the_first_may_win_after_the_next_was_begun(ConnectorTest& t) {
  const SocketAddress silent = t.silent_address();
  t.addresses = {silent, t.silent_address()};
  t.connect(Milliseconds(5000));
  for (int i = 0; i < 40; ++i) t.loop.turn(Milliseconds(10));
  t.wake_up(0);
  assert_true(t.done());
  assert_true(t.result->has_value());
  t.text = t.reached.text();
  assert_string_equal(t.text.c_str(), silent.text().c_str());
}

void who_does_not_answer_is_a_timeout(ConnectorTest& t) {
  t.addresses = {t.closed_address, t.silent_address()};
  t.connect(Milliseconds(300));
  assert_true(t.done());
  assert_int_equal(t.result->error().code, Errc::timeout);
  t.text = t.result->error().message;
  assert_true(t.text.find("127.0.0.2") != std::string::npos);
  assert_true(t.text.find("no answer") != std::string::npos);
}

void no_more_than_eight_are_tried(ConnectorTest& t) {
  t.addresses.assign(8, t.closed_address);
  t.addresses.push_back(t.open_address);
  t.connect();
  assert_true(t.done());
  assert_false(t.result->has_value());
}

void families_take_turns(ConnectorTest& t) {
  for (const char* ip : {"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"})
    t.addresses.push_back(*SocketAddress::from_ip(ip, 1));
  for (const SocketAddress& address : interleave_families(t.addresses))
    t.text += address.ip() + " ";
  assert_string_equal(t.text.c_str(), "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::3 ");
  assert_true(interleave_families({}).empty());
}

void a_peer_that_vanished_will_be_missed(ConnectorTest& t) {
  t.addresses = {t.open_address};
  t.connect();
  assert_true(t.done());
  int on = 0;
  socklen_t size = sizeof on;
  getsockopt((*t.result)->get(), SOL_SOCKET, SO_KEEPALIVE, &on, &size);
  assert_int_equal(on, 1);
  int idle = 0;
  getsockopt((*t.result)->get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, &size);
  assert_int_equal(idle, 60);
}

void destroying_it_cancels(ConnectorTest& t) {
  t.addresses = {t.open_address};
  t.connect();
  t.connector.reset();
  for (int i = 0; i < 5; ++i) t.loop.turn(Milliseconds(1));
  assert_false(t.result.has_value());
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(ConnectorTest, addresses_are_read_and_written),
      MOAT_TEST(ConnectorTest, it_connects),
      MOAT_TEST(ConnectorTest, it_goes_on_to_the_next_address),
      MOAT_TEST(ConnectorTest, a_failure_names_the_address),
      MOAT_TEST(ConnectorTest, every_failure_is_told),
      MOAT_TEST(ConnectorTest, an_address_that_does_not_answer_holds_up_the_next_for_a_moment),
      MOAT_TEST(ConnectorTest, the_first_may_win_after_the_next_was_begun),
      MOAT_TEST(ConnectorTest, who_does_not_answer_is_a_timeout),
      MOAT_TEST(ConnectorTest, no_more_than_eight_are_tried),
      MOAT_TEST(ConnectorTest, families_take_turns),
      MOAT_TEST(ConnectorTest, a_peer_that_vanished_will_be_missed),
      MOAT_TEST(ConnectorTest, destroying_it_cancels),
  };
  return cmocka_run_group_tests_name("core/connector", tests, nullptr, nullptr);
}
