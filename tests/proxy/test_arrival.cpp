#include "proxy/arrival.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

// From 127.0.0.1:57108 to 127.0.0.1:21001, as HAProxy 2.6 sent it.
const std::string header("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\xdf\x14\x52\x09",
                         28);

struct ArrivalTest {
  Loop loop;
  Fd sender;
  std::unique_ptr<Arrival> arrival;
  Fd fd;
  Result<ProxyV2Header> result = Error{Errc::invalid, "nothing yet"};
  int calls = 0;

  void start(Milliseconds limit = Milliseconds(2000)) {
    auto pair = make_socket_pair(SOCK_STREAM);
    if (!pair) throw std::runtime_error(pair.error().message);
    sender = std::move(pair->second);
    calls = 0;
    arrival = std::make_unique<Arrival>(loop, std::move(pair->first), limit,
                                        [this](Fd connection, Result<ProxyV2Header> header_) {
                                          arrival.reset();
                                          fd = std::move(connection);
                                          result = std::move(header_);
                                          ++calls;
                                        });
  }
  void say(std::string_view bytes) const { (void)write_all(sender.get(), bytes); }
  bool done() {
    return test::turn_until(loop, [&] { return calls == 1; });
  }
};

void not_a_byte_is_read_beyond_the_header(ArrivalTest& t) {
  t.start();
  t.say(header + "hello");
  assert_true(t.done());
  assert_true(t.result.has_value());
  assert_string_equal(t.result->destination.text().c_str(), "127.0.0.1:21001");
  char rest[16];
  assert_int_equal(read(t.fd.get(), rest, sizeof rest), 5);
}

void a_header_may_come_in_any_pieces(ArrivalTest& t) {
  for (size_t cut = 1; cut < header.size(); ++cut) {
    t.start();
    t.say(header.substr(0, cut));
    for (int i = 0; i < 3; ++i) t.loop.turn(Milliseconds(0));
    assert_int_equal(t.calls, 0);
    t.say(header.substr(cut));
    assert_true(t.done());
    assert_true(t.result.has_value());
  }
}

void what_is_no_header_is_seen_early(ArrivalTest& t) {
  t.start();
  t.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert_true(t.done());
  assert_false(t.result.has_value());
}

void one_that_ends_or_waits_is_told(ArrivalTest& t) {
  t.start();
  t.say(header.substr(0, 20));
  t.sender.reset();
  assert_true(t.done());
  assert_true(t.result.error().code == Errc::closed);
  t.start(Milliseconds(20));
  t.say(header.substr(0, 20));
  assert_true(t.done());
  assert_true(t.result.error().code == Errc::timeout);
}

void it_may_be_destroyed_before(ArrivalTest& t) {
  t.start();
  t.say(header);
  t.arrival.reset();
  for (int i = 0; i < 3; ++i) t.loop.turn(Milliseconds(0));
  assert_int_equal(t.calls, 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ArrivalTest, not_a_byte_is_read_beyond_the_header),
      MOAT_TEST(ArrivalTest, a_header_may_come_in_any_pieces),
      MOAT_TEST(ArrivalTest, what_is_no_header_is_seen_early),
      MOAT_TEST(ArrivalTest, one_that_ends_or_waits_is_told),
      MOAT_TEST(ArrivalTest, it_may_be_destroyed_before),
  };
  return cmocka_run_group_tests_name("proxy/arrival", tests, nullptr, nullptr);
}
