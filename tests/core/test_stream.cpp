#include "core/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>

#include "moat_test.h"

namespace moat::test {
namespace {

// Keeps what it hears; what it does on input can be set.
struct StreamTest : Stream::Handler {
  Loop loop;
  FdPair pair = *make_socket_pair(SOCK_STREAM);
  std::unique_ptr<Stream> stream;
  std::function<void(Stream&)> act;
  std::string heard;   // what on_input found, when it takes all
  std::string events;  // i, e, d, x
  std::string text;
  Error failure;
  bool take = true;

  void start(Stream::Limits limits = {}) {
    stream = std::make_unique<Stream>(loop, std::move(pair.first), *this, limits);
  }
  void on_input(Stream& s) override {
    if (events.empty() || events.back() != 'i') events += 'i';
    if (act) return act(s);
    if (!take) return;
    heard += s.input();
    s.consume(s.input().size());
  }
  // Takes all but the last three bytes.
  size_t on_bytes(Stream& s, char* bytes, size_t size) override {
    events += 'b';
    if (act) act(s);
    if (!stream) return 0;
    const size_t taken = size > 3 ? size - 3 : 0;
    heard.append(bytes, taken);
    return taken;
  }
  void on_end(Stream& s) override {
    events += 'e';
    if (act) act(s);
  }
  void on_drained(Stream& s) override {
    events += 'd';
    if (act) act(s);
  }
  void on_error(Stream& s, const Error& e) override {
    events += 'x';
    failure = e;
    if (act) act(s);
  }

  void send(std::string_view bytes) const {
    assert_int_equal(write(pair.second.get(), bytes.data(), bytes.size()), bytes.size());
  }
  // Reads what the stream has written until now.
  const std::string& received() {
    text.clear();
    char bytes[65536];
    ssize_t count = 0;
    while ((count = read(pair.second.get(), bytes, sizeof bytes)) > 0)
      text.append(bytes, static_cast<size_t>(count));
    return text;
  }
  void settle() {
    for (int i = 0; i < 5; ++i) loop.turn(Milliseconds(1));
  }
};

void bytes_are_lent_with_those_that_were_left_before_them(StreamTest& t) {
  t.start();
  t.stream->read_in_place();
  t.send("hello");
  assert_true(turn_until(t.loop, [&] { return t.heard == "he"; }));
  assert_true(t.stream->input() == "llo");
  t.send(" world");
  assert_true(turn_until(t.loop, [&] { return t.heard == "hello wo"; }));
  t.stream->consume(1);
  t.pair.second.reset();
  assert_true(turn_until(t.loop, [&] { return t.events == "bbe"; }));
  assert_true(t.stream->input() == "ld");
}

void what_is_lent_may_be_left_by_closing_or_destroying(StreamTest& t) {
  t.start();
  t.stream->read_in_place();
  t.act = [](Stream& s) { s.close(); };
  t.send("hello");
  assert_true(turn_until(t.loop, [&] { return t.stream->closed(); }));
  t.pair = *make_socket_pair(SOCK_STREAM);
  t.start();
  t.stream->read_in_place();
  t.act = [&](Stream&) { t.stream.reset(); };
  t.send("hello");
  assert_true(turn_until(t.loop, [&] { return !t.stream; }));
}

void a_buffer_is_written_and_empty(StreamTest& t) {
  Stream::Limits limits;
  limits.output = 1000;
  t.start(limits);
  Buffer bytes;
  bytes.append("at once ");
  t.stream->write(bytes);
  assert_true(bytes.empty() && t.stream->queued() == 0);
  std::string all = "at once ";
  for (int i = 0; i < 3; ++i) {
    bytes.append(std::string(400'000, static_cast<char>('a' + i)));
    all += bytes.view();
    t.stream->write(bytes);
    assert_true(bytes.empty());
  }
  assert_true(t.stream->full());
  while (t.heard.size() < all.size()) {
    t.heard += t.received();
    t.loop.turn(Milliseconds(10));
  }
  const bool same = t.heard == all;
  std::string().swap(all);
  assert_true(same);
  assert_string_equal(t.events.c_str(), "d");
}

void bytes_come_and_the_end_comes_after_them(StreamTest& t) {
  t.start();
  t.send("hello");
  t.pair.second.reset();
  const bool ended = turn_until(t.loop, [&] { return t.events == "ie"; });
  assert_true(ended);
  assert_string_equal(t.heard.c_str(), "hello");
  assert_int_equal(t.stream->bytes_read(), 5);
  t.settle();
  assert_string_equal(t.events.c_str(), "ie");  // once
}

void reading_stops_at_the_limit_and_goes_on_with_room(StreamTest& t) {
  t.take = false;
  t.start({.input = 4, .output = 100});
  t.send("0123456789");
  t.settle();
  assert_int_equal(t.stream->input().size(), 4);
  t.stream->consume(3);
  const bool more = turn_until(t.loop, [&] { return t.stream->input() == "3456"; });
  assert_true(more);
  t.pair.second.reset();
  t.settle();
  assert_string_equal(t.events.c_str(), "i");  // the end waits for its turn
  t.stream->consume(4);
  t.settle();
  t.stream->consume(3);
  const bool ended = turn_until(t.loop, [&] { return t.events == "ie"; });
  assert_true(ended);
}

void a_paused_stream_reads_nothing(StreamTest& t) {
  t.start();
  t.stream->pause_reading();
  t.stream->pause_reading();
  t.send("x");
  t.settle();
  assert_string_equal(t.heard.c_str(), "");
  t.stream->resume_reading();
  const bool heard = turn_until(t.loop, [&] { return t.heard == "x"; });
  assert_true(heard);
}

void a_turn_reads_a_bounded_piece(StreamTest& t) {
  t.start({.input = 10'000'000, .output = 100});
  const int big = 1'000'000;
  setsockopt(t.pair.second.get(), SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
  t.text.assign(100'000, 'x');
  t.send(t.text);
  t.loop.turn(Milliseconds(100));
  assert_true(t.heard.size() <= 65536);
  const bool all = turn_until(t.loop, [&] { return t.heard.size() == 100'000; });
  assert_true(all);
}

void what_is_written_goes_at_once_when_the_kernel_takes_it(StreamTest& t) {
  t.start();
  t.stream->write("hello");
  assert_int_equal(t.stream->queued(), 0);
  assert_string_equal(t.received().c_str(), "hello");
  assert_int_equal(t.stream->bytes_written(), 5);
}

void a_full_stream_says_so_and_says_when_it_has_drained(StreamTest& t) {
  t.start({.input = 100, .output = 1000});
  t.text.assign(100'000, 'x');
  size_t written = 0;
  while (!t.stream->full()) {
    t.stream->write(t.text);
    written += t.text.size();
  }
  size_t got = 0;
  const bool drained = turn_until(t.loop, [&] {
    got += t.received().size();
    return t.events == "d";
  });
  assert_true(drained);
  got += t.received().size();
  assert_int_equal(got, written);
  assert_int_equal(t.stream->queued(), 0);
}

void ending_waits_for_what_is_queued_and_leaves_reading_open(StreamTest& t) {
  t.start();
  t.text.assign(1'000'000, 'x');
  t.stream->write(t.text);
  t.stream->end_writing();
  t.stream->end_writing();
  t.stream->write("late");  // dropped
  size_t got = 0;
  char byte = 0;
  const bool ended = turn_until(t.loop, [&] {
    got += t.received().size();
    return recv(t.pair.second.get(), &byte, 1, MSG_PEEK) == 0;
  });
  assert_true(ended);
  assert_int_equal(got, 1'000'000);
  t.send("still");
  const bool heard = turn_until(t.loop, [&] { return t.heard == "still"; });
  assert_true(heard);
}

void a_peer_that_is_gone_is_an_error_told_from_the_loop(StreamTest& t) {
  t.start();
  t.stream->pause_reading();
  t.pair.second.reset();
  t.stream->write("x");
  assert_string_equal(t.events.c_str(), "");  // not from inside write()
  t.stream->write("y");
  const bool failed = turn_until(t.loop, [&] { return t.events == "x"; });
  assert_true(failed);
  assert_int_equal(t.failure.code, Errc::closed);
  assert_true(t.stream->closed());
  t.settle();
  assert_string_equal(t.events.c_str(), "x");  // once
}

void no_callback_comes_after_close(StreamTest& t) {
  t.start();
  t.pair.second.reset();
  t.stream->write("x");
  t.stream->close();
  t.stream->close();
  t.settle();
  assert_string_equal(t.events.c_str(), "");
}

// Of each callback in turn: whatever comes first destroys the stream, or closes it.
void a_callback_may_destroy_or_close_the_stream(StreamTest& t) {
  for (const bool destroy : {true, false}) {
    for (const char event : {'i', 'e', 'd', 'x'}) {
      t.pair = *make_socket_pair(SOCK_STREAM);
      t.events.clear();
      t.act = nullptr;
      t.start({.input = 100, .output = 10});
      t.act = [&t, destroy](Stream& s) {
        s.consume(1);
        s.close();
        s.close();
        if (destroy) t.stream.reset();
      };
      if (event == 'i') t.send("xyz");
      if (event == 'e') t.pair.second.reset();
      if (event == 'd') {
        while (!t.stream->full()) t.stream->write("0123456789");
      }
      if (event == 'x') {
        t.stream->pause_reading();
        t.pair.second.reset();
        t.stream->write("x");
      }
      const bool called = turn_until(t.loop, [&] {
        if (event == 'd') t.received();
        return !t.events.empty();
      });
      assert_true(called);
      assert_int_equal(t.events[0], event);
      t.settle();
      assert_int_equal(t.events.size(), 1);
      t.stream.reset();
    }
  }
}

void both_ends_of_a_pipe_will_do(StreamTest& t) {
  t.pair = *make_pipe(true);
  t.start();
  t.send("from a pipe");
  t.pair.second.reset();
  const bool ended = turn_until(t.loop, [&] { return t.events == "ie"; });
  assert_true(ended);
  assert_string_equal(t.heard.c_str(), "from a pipe");

  t.stream.reset();
  t.pair = *make_pipe(true);
  std::swap(t.pair.first, t.pair.second);
  t.start();
  t.stream->write("to a pipe");
  t.stream->end_writing();
  t.received();
  assert_string_equal(t.text.c_str(), "to a pipe");
  assert_int_equal(read(t.pair.second.get(), t.text.data(), 1), 0);
  assert_true(t.stream->closed());
}

void a_pipe_nobody_reads_is_an_error_and_no_signal(StreamTest& t) {
  signal(SIGPIPE, SIG_DFL);
  t.pair = *make_pipe(true);
  std::swap(t.pair.first, t.pair.second);
  t.start();
  t.pair.second.reset();
  t.stream->write("x");
  const bool failed = turn_until(t.loop, [&] { return t.events == "x"; });
  assert_true(failed);
  sigset_t pending;
  sigpending(&pending);
  assert_int_equal(sigismember(&pending, SIGPIPE), 0);
}

struct Listening {
  Fd fd{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  Listening() {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size);
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  }
};

void a_connect_under_way_is_told_when_it_succeeds(StreamTest& t) {
  const Listening server;
  assert_int_equal(listen(server.fd.get(), 1), 0);
  t.pair.first = Fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int rc = connect(t.pair.first.get(), reinterpret_cast<const sockaddr*>(&server.address),
                         sizeof server.address);
  assert_true(rc == 0 || errno == EINPROGRESS);
  t.start();
  t.stream->write("early");
  const bool connected = turn_until(t.loop, [&] { return t.stream->bytes_written() == 5; });
  assert_true(connected);
  t.pair.second = Fd(accept4(server.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  assert_string_equal(t.received().c_str(), "early");
}

void a_connect_that_is_refused_is_an_error(StreamTest& t) {
  const Listening server;  // bound, but not listening
  t.pair.first = Fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  connect(t.pair.first.get(), reinterpret_cast<const sockaddr*>(&server.address),
          sizeof server.address);
  t.start();
  const bool failed = turn_until(t.loop, [&] { return t.events == "x"; });
  assert_true(failed);
  assert_int_equal(t.failure.code, Errc::refused);
}

void reset_makes_the_peer_see_an_error(StreamTest& t) {
  const Listening server;
  assert_int_equal(listen(server.fd.get(), 1), 0);
  t.pair.second = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  assert_int_equal(connect(t.pair.second.get(), reinterpret_cast<const sockaddr*>(&server.address),
                           sizeof server.address),
                   0);
  t.pair.first = Fd(accept4(server.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  t.start();
  t.stream->reset();
  char byte = 0;
  assert_int_equal(read(t.pair.second.get(), &byte, 1), -1);
  assert_int_equal(errno, ECONNRESET);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(StreamTest, bytes_are_lent_with_those_that_were_left_before_them),
      MOAT_TEST(StreamTest, what_is_lent_may_be_left_by_closing_or_destroying),
      MOAT_TEST(StreamTest, a_buffer_is_written_and_empty),
      MOAT_TEST(StreamTest, bytes_come_and_the_end_comes_after_them),
      MOAT_TEST(StreamTest, reading_stops_at_the_limit_and_goes_on_with_room),
      MOAT_TEST(StreamTest, a_paused_stream_reads_nothing),
      MOAT_TEST(StreamTest, a_turn_reads_a_bounded_piece),
      MOAT_TEST(StreamTest, what_is_written_goes_at_once_when_the_kernel_takes_it),
      MOAT_TEST(StreamTest, a_full_stream_says_so_and_says_when_it_has_drained),
      MOAT_TEST(StreamTest, ending_waits_for_what_is_queued_and_leaves_reading_open),
      MOAT_TEST(StreamTest, a_peer_that_is_gone_is_an_error_told_from_the_loop),
      MOAT_TEST(StreamTest, no_callback_comes_after_close),
      MOAT_TEST(StreamTest, a_callback_may_destroy_or_close_the_stream),
      MOAT_TEST(StreamTest, both_ends_of_a_pipe_will_do),
      MOAT_TEST(StreamTest, a_pipe_nobody_reads_is_an_error_and_no_signal),
      MOAT_TEST(StreamTest, a_connect_under_way_is_told_when_it_succeeds),
      MOAT_TEST(StreamTest, a_connect_that_is_refused_is_an_error),
      MOAT_TEST(StreamTest, reset_makes_the_peer_see_an_error),
  };
  return cmocka_run_group_tests_name("core/stream", tests, nullptr, nullptr);
}
