#include "proxy/transport.h"

#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>

#include "core/crypto.h"
#include "moat_test.h"
#include "tls_world.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::turn_until;

namespace {

// One end of a connection, and what it was told.
struct End : Transport::Handler {
  std::unique_ptr<Transport> transport;
  std::string got;
  std::string log;
  std::string error;
  bool take = true;                       // consumes what comes
  std::function<void(const char*)> then;  // called in each callback, with its name

  void told(const char* what) {
    log += what;
    log += ' ';
    if (then) then(what);
  }
  void on_ready(Transport&) override { told("ready"); }
  void on_input(Transport& from) override {
    if (take) drain(from);
    if (then) then("input");
  }
  void on_end(Transport&, bool clean) override { told(clean ? "end" : "cut"); }
  void on_drained(Transport&) override { told("drained"); }
  void on_error(Transport&, const Error& why) override {
    error = why.message;
    told("error");
  }
  void drain(Transport& from) {
    got += from.input();
    from.consume(from.input().size());
  }
  bool was(const char* what) const {
    return log.find(std::string(what) + " ") != std::string::npos;
  }
};

struct TransportTest : TlsWorld {
  Loop loop;
  End near;  // the client, or moat
  End far;

  TransportTest() { connect(); }
  void connect(Stream::Limits limits = {}) {
    auto pair = must(make_socket_pair(SOCK_STREAM));
    near.transport = std::make_unique<Transport>(loop, std::move(pair.first), near, limits);
    far.transport = std::make_unique<Transport>(loop, std::move(pair.second), far, limits);
  }
  void start_tls(const std::string& name = "api.example.com") {
    far.transport->start_tls(server(name));
    near.transport->start_tls(client("api.example.com"));
  }
  bool shake_hands() {
    start_tls();
    return until([&] { return near.was("ready") && far.was("ready"); });
  }
  template <class Done>
  bool until(Done done) {
    return turn_until(loop, done);
  }
  void settle() {
    for (int i = 0; i < 20; ++i) loop.turn(Milliseconds(1));
  }
};

}  // namespace

static void a_plain_transport_is_ready_from_the_loop(TransportTest& t) {
  assert_string_equal(t.near.log.c_str(), "");
  t.near.transport->write("hello");
  assert_true(t.until([&] { return t.far.got == "hello" && t.near.was("ready"); }));
  t.near.transport->end_writing();
  assert_true(t.until([&] { return t.far.was("end"); }));
  t.far.transport->write("late");
  assert_true(t.until([&] { return t.near.got == "late"; }));
  assert_string_equal(t.far.log.c_str(), "ready end ");
}

static void with_tls_it_is_ready_once_hands_are_shaken(TransportTest& t) {
  assert_true(t.shake_hands());
  t.settle();
  assert_string_equal(t.near.log.c_str(), "ready ");
  t.near.transport->write("question");
  t.far.transport->write("answer");
  assert_true(t.until([&] { return t.far.got == "question" && t.near.got == "answer"; }));
  assert_true(t.near.transport->tls()->version() == "TLSv1.2" ||
              t.near.transport->tls()->version() == "TLSv1.3");
  assert_true(t.near.transport->flushed());
}

// Each send is a packet here, so that they can be counted.
static void what_is_written_in_a_callback_leaves_in_one_piece(TransportTest& t) {
  auto pair = must(make_socket_pair(SOCK_SEQPACKET));
  t.near.transport =
      std::make_unique<Transport>(t.loop, std::move(pair.first), t.near, Stream::Limits{});
  t.far.transport =
      std::make_unique<Transport>(t.loop, std::move(pair.second), t.far, Stream::Limits{});
  assert_true(t.shake_hands());
  int packets = 0;
  t.near.then = [&](const char* what) { packets += std::string_view(what) == "input" ? 1 : 0; };
  t.far.then = [&](const char* what) {
    if (std::string_view(what) != "input") return;
    for (const char* part : {"head ", "body ", "end"}) t.far.transport->write(part);
    assert_true(t.near.got.empty());
  };
  t.near.transport->write("question");
  assert_true(t.until([&] { return !t.near.got.empty(); }));
  assert_string_equal(t.near.got.c_str(), "head body end");
  assert_int_equal(packets, 1);
  // Whoever asks whether all has left gets it sent; so does whoever ends, or closes.
  t.near.got = "";
  t.far.then = [&](const char* what) {
    if (std::string_view(what) != "input") return;
    t.far.transport->write("one ");
    assert_true(t.far.transport->flushed());
    t.far.transport->write("two");
    t.far.transport->close();
  };
  t.near.transport->write("question");
  assert_true(t.until([&] { return t.near.was("cut"); }));
  assert_string_equal(t.near.got.c_str(), "one two");
  assert_int_equal(packets, 3);
}

static void an_owner_may_take_a_part_of_what_was_opened(TransportTest& t) {
  assert_true(t.shake_hands());
  t.far.take = false;
  t.far.then = [&](const char* what) {
    if (std::string_view(what) == "input") t.far.transport->consume(2);
  };
  t.near.transport->write("abcdef");
  assert_true(t.until([&] { return t.far.transport->input() == "cdef"; }));
  t.near.transport->write("gh");
  assert_true(t.until([&] { return t.far.transport->input() == "efgh"; }));
  t.far.transport->consume(100);
  assert_true(t.far.transport->input().empty());
}

// The buffer that holds a record has to be larger than one, whatever the limit.
static void a_low_limit_does_not_keep_a_record_from_being_read(TransportTest& t) {
  Stream::Limits limits;
  limits.input = 100;
  t.connect(limits);
  assert_true(t.shake_hands());
  t.near.transport->write(std::string(200'000, 'x'));
  assert_true(t.until([&] { return t.far.got.size() == 200'000; }));
}

static void bytes_that_were_peeked_at_go_to_tls_first(TransportTest& t) {
  t.far.take = false;
  t.near.transport->start_tls(t.client("api.example.com"));
  assert_true(t.until([&] { return t.far.transport->input().size() > 100; }));
  t.far.transport->start_tls(t.server("api.example.com"));
  assert_true(t.far.transport->input().empty());
  assert_true(t.until([&] { return t.near.was("ready"); }));
}

static void tls_may_begin_after_plain_words(TransportTest& t) {
  t.near.transport->write("CONNECT");
  assert_true(t.until([&] { return t.far.got == "CONNECT"; }));
  t.far.transport->write("200");
  assert_true(t.until([&] { return t.near.got == "200"; }));
  t.near.log = t.far.log = "";
  assert_true(t.shake_hands());
  t.near.transport->write("secret");
  assert_true(t.until([&] { return t.far.got == "CONNECTsecret"; }));
}

static void an_owner_that_does_not_read_is_not_drowned(TransportTest& t) {
  constexpr size_t limit = 64 * 1024;
  assert_true(t.shake_hands());
  t.far.take = false;
  const std::string bytes = random_bytes(3 * 1024 * 1024);
  t.near.transport->write(bytes);
  assert_true(t.near.transport->full());
  t.settle();
  assert_true(t.far.transport->input().size() >= limit);
  assert_true(t.far.transport->input().size() <= limit + 16 * 1024);
  t.far.take = true;
  t.far.drain(*t.far.transport);
  const bool all = t.until([&] { return t.far.got.size() == bytes.size(); });
  assert_true(all && t.far.got == bytes);
  assert_true(t.until([&] { return t.near.was("drained"); }));
  assert_false(t.near.transport->full());
}

static void a_pause_holds_what_has_come_already(TransportTest& t) {
  assert_true(t.shake_hands());
  t.far.then = [&](const char* what) {
    if (std::string_view(what) == "input") t.far.transport->pause_reading();
  };
  t.near.transport->write(std::string(200000, 'a'));  // more than is opened in one go
  assert_true(t.until([&] { return !t.far.got.empty(); }));
  t.settle();
  const size_t first = t.far.got.size();
  assert_true(first < 200000);
  t.far.then = nullptr;
  t.far.transport->resume_reading();
  assert_int_equal(t.far.got.size(), first);  // not from inside the call
  assert_true(t.until([&] { return t.far.got.size() == 200000; }));
}

static void an_end_that_came_during_a_pause_is_told_after_it(TransportTest& t) {
  assert_true(t.shake_hands());
  t.far.transport->pause_reading();
  t.near.transport->write("last words");
  t.near.transport->end_writing();
  t.settle();
  assert_string_equal(t.far.log.c_str(), "ready ");
  t.far.transport->resume_reading();
  assert_true(t.until([&] { return t.far.was("end"); }));
  assert_string_equal(t.far.got.c_str(), "last words");
}

static void an_end_with_close_notify_is_clean_and_half(TransportTest& t) {
  assert_true(t.shake_hands());
  t.near.transport->write("question");
  t.near.transport->end_writing();
  assert_true(t.until([&] { return t.far.was("end"); }));
  assert_string_equal(t.far.got.c_str(), "question");
  t.far.transport->write("answer");
  t.far.transport->end_writing();
  assert_true(t.until([&] { return t.near.was("end"); }));
  assert_string_equal(t.near.got.c_str(), "answer");
  assert_string_equal(t.near.log.c_str(), "ready end ");
}

static void an_end_without_close_notify_is_a_cut(TransportTest& t) {
  assert_true(t.shake_hands());
  t.near.transport->write("half an ans");
  t.near.transport->close();
  t.near.transport->close();
  assert_true(t.until([&] { return t.far.was("cut"); }));
  assert_string_equal(t.far.got.c_str(), "half an ans");
  t.settle();
  assert_string_equal(t.far.log.c_str(), "ready cut ");
}

static void an_end_in_the_middle_of_the_handshake_is_an_error(TransportTest& t) {
  t.start_tls();
  t.near.transport->pause_reading();
  t.near.transport->end_writing();
  assert_true(t.until([&] { return t.far.was("error"); }));
  assert_true(t.far.error.find("handshake") != std::string::npos);
}

static void a_refused_certificate_is_told_to_both(TransportTest& t) {
  t.start_tls("other.example.com");
  assert_true(t.until([&] { return t.near.was("error") && t.far.was("error"); }));
  assert_true(t.near.error.find("is for other names") != std::string::npos);
  assert_true(t.far.error.find("alert") != std::string::npos);
  t.settle();
  assert_string_equal(t.near.log.c_str(), "error ");
  t.near.transport->write("nothing of this arrives");
  t.settle();
  assert_string_equal(t.far.got.c_str(), "");
}

static void the_alert_arrives_even_if_the_owner_closes_at_once(TransportTest& t) {
  t.near.then = [&](const char* what) {
    if (std::string_view(what) == "error") t.near.transport->close();
  };
  t.start_tls("other.example.com");
  assert_true(t.until([&] { return t.far.was("error"); }));
  assert_true(t.far.error.find("alert") != std::string::npos);
}

static void what_is_not_tls_is_an_error(TransportTest& t) {
  t.far.transport->start_tls(t.server("api.example.com"));
  t.near.transport->write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  assert_true(t.until([&] { return t.far.was("error"); }));
  assert_true(t.near.got.size() < 20);  // an alert, at most
}

static void writing_before_the_handshake_is_an_error_told_later(TransportTest& t) {
  t.near.transport->start_tls(t.client("api.example.com"));
  t.near.transport->write("too early");
  assert_string_equal(t.near.log.c_str(), "");
  assert_true(t.until([&] { return t.near.was("error"); }));
}

static void it_may_be_destroyed_in_any_callback(TransportTest& t) {
  for (const char* when : {"ready", "input", "end", "cut", "error", "drained"}) {
    t.near.log = t.far.log = t.far.got = "";
    t.near.then = t.far.then = nullptr;
    Stream::Limits limits;
    limits.output = 1000;
    t.connect(limits);
    const std::string_view wanted = when;
    t.far.then = [&](const char* what) {
      if (wanted == what) t.far.transport.reset();
    };
    t.near.then = [&](const char* what) {
      if (wanted == "drained" && wanted == what) t.near.transport.reset();
      if (std::string_view(what) != "ready") return;
      t.near.transport->write(std::string(500000, 'x'));
      if (wanted == "cut") t.near.transport->close();
      if (wanted == "end") t.near.transport->end_writing();
    };
    if (wanted == "error") {
      t.start_tls("other.example.com");
    } else {
      t.start_tls();
    }
    const bool gone = t.until([&] { return !t.far.transport || !t.near.transport; });
    if (!gone)
      print_error("in on_%s: near %s, far %s\n", when, t.near.log.c_str(), t.far.log.c_str());
    assert_true(gone);
    t.settle();
  }
}

static void destroyed_with_work_deferred_nothing_happens(TransportTest& t) {
  assert_true(t.shake_hands());
  t.far.transport->pause_reading();
  t.near.transport->write("x");
  t.settle();
  t.far.transport->resume_reading();
  t.far.transport.reset();
  t.near.transport.reset();
  t.settle();
  assert_string_equal(t.far.got.c_str(), "");
}

static void a_reset_is_an_error_or_a_cut_for_the_other(TransportTest& t) {
  assert_true(t.shake_hands());
  t.near.transport->reset();
  assert_true(t.near.transport->closed());
  assert_true(t.until([&] { return t.far.was("error") || t.far.was("cut"); }));
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(TransportTest, a_plain_transport_is_ready_from_the_loop),
      MOAT_TEST(TransportTest, with_tls_it_is_ready_once_hands_are_shaken),
      MOAT_TEST(TransportTest, what_is_written_in_a_callback_leaves_in_one_piece),
      MOAT_TEST(TransportTest, an_owner_may_take_a_part_of_what_was_opened),
      MOAT_TEST(TransportTest, a_low_limit_does_not_keep_a_record_from_being_read),
      MOAT_TEST(TransportTest, bytes_that_were_peeked_at_go_to_tls_first),
      MOAT_TEST(TransportTest, tls_may_begin_after_plain_words),
      MOAT_TEST(TransportTest, an_owner_that_does_not_read_is_not_drowned),
      MOAT_TEST(TransportTest, a_pause_holds_what_has_come_already),
      MOAT_TEST(TransportTest, an_end_that_came_during_a_pause_is_told_after_it),
      MOAT_TEST(TransportTest, an_end_with_close_notify_is_clean_and_half),
      MOAT_TEST(TransportTest, an_end_without_close_notify_is_a_cut),
      MOAT_TEST(TransportTest, an_end_in_the_middle_of_the_handshake_is_an_error),
      MOAT_TEST(TransportTest, a_refused_certificate_is_told_to_both),
      MOAT_TEST(TransportTest, the_alert_arrives_even_if_the_owner_closes_at_once),
      MOAT_TEST(TransportTest, what_is_not_tls_is_an_error),
      MOAT_TEST(TransportTest, writing_before_the_handshake_is_an_error_told_later),
      MOAT_TEST(TransportTest, it_may_be_destroyed_in_any_callback),
      MOAT_TEST(TransportTest, destroyed_with_work_deferred_nothing_happens),
      MOAT_TEST(TransportTest, a_reset_is_an_error_or_a_cut_for_the_other),
  };
  return cmocka_run_group_tests_name("proxy/transport", tests, nullptr, nullptr);
}
