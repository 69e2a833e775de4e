#include "core/connector.h"

#include <arpa/inet.h>
#include <netinet/in.h>
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

void the_last_failure_is_told(ConnectorTest& t) {
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

// A backlog that is full drops what comes: nothing answers, and nothing refuses.
void an_address_that_does_not_answer_leaves_time_for_the_next(ConnectorTest& t) {
  const Fd silent(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SocketAddress address = *SocketAddress::from_ip("127.0.0.3", 0);
  bind(silent.get(), address.get(), address.size);
  listen(silent.get(), 0);
  socklen_t size = sizeof address.storage;
  getsockname(silent.get(), reinterpret_cast<sockaddr*>(&address.storage), &size);
  Fd fillers[4];
  for (Fd& filler : fillers) {
    filler = Fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ::connect(filler.get(), address.get(), address.size);
  }
  t.addresses = {address, t.open_address};
  t.connect(Milliseconds(400));
  assert_true(t.done());
  assert_true(t.result->has_value());
  t.addresses = {address};
  t.connect(Milliseconds(100));
  assert_true(t.done());
  assert_int_equal(t.result->error().code, Errc::timeout);
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
      MOAT_TEST(ConnectorTest, the_last_failure_is_told),
      MOAT_TEST(ConnectorTest, an_address_that_does_not_answer_leaves_time_for_the_next),
      MOAT_TEST(ConnectorTest, destroying_it_cancels),
  };
  return cmocka_run_group_tests_name("core/connector", tests, nullptr, nullptr);
}
