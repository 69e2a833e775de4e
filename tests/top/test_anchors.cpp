// Where signed heads go besides the run's own directory, and what happens when that is slow, full
// or missing.
#include "anchors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/text.h"
#include "moat_test.h"
#include "temp_home.h"

using namespace moat;

namespace {

store::SignedHead head_of(uint64_t size) {
  const Digest root = sha256(std::to_string(size));
  return {{size, root}, format("moat.run/r1\n%llu\nroot\n\nsigned\n", (unsigned long long)size)};
}

// Takes heads, and says so when the test says so.
struct FakeAnchor final : Anchor {
  std::vector<uint64_t>& sizes;
  Done& done;
  FakeAnchor(std::vector<uint64_t>& into, Done& when_done) : sizes(into), done(when_done) {}
  [[nodiscard]] std::string name() const override { return "fake"; }
  void take(const std::string& /*run*/, const store::SignedHead& head, Done when_done) override {
    sizes.push_back(head.head.size);
    done = std::move(when_done);
  }
};

struct AnchorTest {
  Loop loop;
  test::TempDirectory temp;
  std::vector<std::string> failures;
  std::vector<uint64_t> sizes;
  Anchor::Done done;
  Anchors anchors{loop, "r1", [this](const std::string& name, const std::string& reason) {
                    failures.push_back(name + ": " + reason);
                  }};
  bool finished = false;

  std::unique_ptr<Anchor> fake() { return std::make_unique<FakeAnchor>(sizes, done); }
  void answer(const Result<void>& result) { std::exchange(done, nullptr)(result); }
  template <class Done>
  bool turn_until(Done until, Milliseconds limit = Milliseconds(5000)) {
    bool late = false;
    Timer deadline(loop, [&late] { late = true; });
    deadline.start(limit);
    while (!until() && !late) loop.turn(Milliseconds(100));
    return !late;
  }
  // What one anchor makes of a head.
  Result<void> take(Anchor& anchor) {
    std::optional<Result<void>> outcome;
    anchor.take("r1", head_of(7), [&outcome](const Result<void>& result) { outcome = result; });
    turn_until([&outcome] { return outcome.has_value(); });
    return outcome ? *outcome : Result<void>(error(Errc::timeout, "no outcome"));
  }
  [[nodiscard]] std::string text(const std::string& name) const {
    const auto bytes = read_file(temp.at(name), 1 << 20);
    return bytes ? *bytes : std::string();
  }
};

void a_file_is_made_for_its_owner_and_appended_to(AnchorTest& t) {
  const auto anchor = make_file_anchor(t.temp.at("heads"));
  const mode_t before = umask(0);
  const bool taken = t.take(*anchor) && t.take(*anchor);
  umask(before);
  assert_true(taken);
  assert_string_equal(t.text("heads").c_str(), (head_of(7).note + head_of(7).note).c_str());
  struct stat info {};
  stat(t.temp.at("heads").c_str(), &info);
  assert_int_equal(info.st_mode & 0777, 0600);
  const std::string name = "file " + t.temp.at("heads");
  assert_string_equal(anchor->name().c_str(), name.c_str());
}

void a_file_that_cannot_be_written_to_is_told(AnchorTest& t) {
  const auto missing = t.take(*make_file_anchor(t.temp.at("no/such")));
  assert_string_equal(missing.error().message.c_str(),
                      "it cannot be opened: No such file or directory");
  const auto full = t.take(*make_file_anchor("/dev/full"));
  assert_string_equal(full.error().message.c_str(),
                      "it cannot be written to: No space left on device");
}

void a_fifo_blocks_nothing(AnchorTest& t) {
  const std::string path = t.temp.at("fifo");
  mkfifo(path.c_str(), 0600);
  const auto anchor = make_file_anchor(path);
  const auto alone = t.take(*anchor);
  assert_string_equal(alone.error().message.c_str(), "nobody reads it");

  const Fd reader(open(path.c_str(), O_RDONLY | O_NONBLOCK));
  const bool taken = t.take(*anchor).has_value();
  assert_true(taken);
  char bytes[256];
  const ssize_t got = read(reader.get(), bytes, sizeof bytes);
  const bool same = std::string_view(bytes, got > 0 ? (size_t)got : 0) == head_of(7).note;
  assert_true(same);

  Result<void> last;
  for (int i = 0; i < 10'000 && last; ++i) last = t.take(*anchor);
  assert_false(last.has_value());
  assert_string_equal(last.error().message.c_str(), "it is full: nobody reads it");
}

struct FakeLog {
  Fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  explicit FakeLog(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("bind");
  }
  [[nodiscard]] std::string line() const {
    char bytes[1024];
    const ssize_t got = recv(socket.get(), bytes, sizeof bytes, 0);
    return {bytes, got > 0 ? static_cast<size_t>(got) : 0};
  }
};

void the_systems_log_gets_a_line(AnchorTest& t) {
  const FakeLog log(t.temp.at("log"));
  const auto anchor = make_syslog_anchor(LOG_LOCAL3, t.temp.at("log"));
  const bool taken = t.take(*anchor).has_value();
  assert_true(taken);
  const std::string line = log.line();
  const bool begins = line.starts_with(format("<%d>", LOG_LOCAL3 | LOG_NOTICE));
  assert_true(begins);
  const std::string end = format(" moat[%d]: moat.run/r1 7 ", static_cast<int>(getpid())) +
                          hex(view(head_of(7).head.root));
  const bool ends = line.ends_with(end);
  assert_true(ends);
  // "Nov 14 22:13:20", as RFC 3164 has it.
  const size_t from = line.find('>') + 1;
  assert_int_equal(line.size() - end.size() - from, 15);
}

void a_log_that_is_full_or_missing_blocks_nothing(AnchorTest& t) {
  const auto missing = t.take(*make_syslog_anchor(LOG_USER, t.temp.at("none")));
  const std::string expected =
      "it cannot be reached at " + t.temp.at("none") + ": No such file or directory";
  assert_string_equal(missing.error().message.c_str(), expected.c_str());
  const FakeLog log(t.temp.at("log"));
  const auto anchor = make_syslog_anchor(LOG_USER, t.temp.at("log"));
  Result<void> last;
  for (int i = 0; i < 10'000 && last; ++i) last = t.take(*anchor);
  assert_string_equal(last.error().message.c_str(), "it is full");
}

void a_command_gets_the_note_and_what_it_is_of(AnchorTest& t) {
  setenv("MOAT_RUN", "another", 1);
  const auto anchor =
      make_command_anchor(t.loop,
                          {"sh", "-c",
                           "cat >" + t.temp.at("note") +
                               "; echo $MOAT_RUN $MOAT_SIZE $MOAT_ROOT >" + t.temp.at("words")},
                          Milliseconds(5000));
  const bool taken = t.take(*anchor).has_value();
  unsetenv("MOAT_RUN");
  assert_true(taken);
  assert_string_equal(t.text("note").c_str(), head_of(7).note.c_str());
  const std::string words = "r1 7 " + hex(view(head_of(7).head.root)) + "\n";
  assert_string_equal(t.text("words").c_str(), words.c_str());
  assert_string_equal(anchor->name().c_str(), "command sh");
}

void a_command_that_fails_is_quoted(AnchorTest& t) {
  const auto failed = t.take(*make_command_anchor(
      t.loop, {"sh", "-c", "printf 'no \\033[2Jluck\\nmore\\n' >&2; exit 3"}, Milliseconds(5000)));
  assert_string_equal(failed.error().message.c_str(), "it ended with status 3: no \\x1b[2Jluck");
  // Whoever does not read its input does no harm.
  const bool taken = t.take(*make_command_anchor(t.loop, {"true"}, Milliseconds(5000))).has_value();
  assert_true(taken);
  const auto missing =
      t.take(*make_command_anchor(t.loop, {"/no/such/program"}, Milliseconds(5000)));
  assert_string_equal(missing.error().message.c_str(),
                      "cannot run /no/such/program: No such file or directory");
}

void a_command_that_hangs_is_killed_with_all_that_it_has_started(AnchorTest& t) {
  const auto anchor = make_command_anchor(
      t.loop, {"sh", "-c", "sleep 100 & echo $! >" + t.temp.at("pid") + "; sleep 100"},
      Milliseconds(300));
  const auto late = t.take(*anchor);
  assert_true(!late && late.error().code == Errc::timeout);
  const auto pid = parse_number(trim(t.text("pid")), 2, 1 << 30);
  assert_true(pid.has_value());
  // It is nobody's child of ours: gone, or a zombie until init looks.
  const bool gone = t.turn_until([&] {
    const auto stat_of_it = read_file(format("/proc/%d/stat", static_cast<int>(*pid)), 4096);
    return !stat_of_it || stat_of_it->find(") Z") != std::string::npos;
  });
  assert_true(gone);
}

void only_the_newest_head_waits(AnchorTest& t) {
  t.anchors.add(t.fake());
  for (const uint64_t size : {1, 2, 3, 4}) t.anchors.on_head(head_of(size));
  assert_int_equal(t.sizes.size(), 1);
  t.answer({});
  assert_int_equal(t.sizes.size(), 2);
  assert_int_equal(t.sizes[1], 4);
  t.answer({});
  assert_int_equal(t.sizes.size(), 2);
}

void one_that_is_slow_keeps_no_other_waiting(AnchorTest& t) {
  t.anchors.add(t.fake());
  t.anchors.add(make_file_anchor(t.temp.at("heads")));
  t.anchors.on_head(head_of(1));
  t.anchors.on_head(head_of(2));
  assert_int_equal(t.sizes.size(), 1);
  assert_string_equal(t.text("heads").c_str(), (head_of(1).note + head_of(2).note).c_str());
}

// Each record of a failure makes a head, which would fail, and be recorded, for ever.
void a_failure_is_told_once_until_it_works_again(AnchorTest& t) {
  t.anchors.add(t.fake());
  for (uint64_t size = 1; size <= 5; ++size) {
    t.anchors.on_head(head_of(size));
    t.answer(error(Errc::refused, "no"));
  }
  assert_int_equal(t.failures.size(), 1);
  assert_string_equal(t.failures[0].c_str(), "fake: no");
  t.anchors.on_head(head_of(6));
  t.answer({});
  assert_int_equal(t.failures.size(), 1);
  t.anchors.on_head(head_of(7));
  t.answer(error(Errc::refused, "no"));
  assert_int_equal(t.failures.size(), 2);
}

void an_interval_is_kept_but_for_the_last(AnchorTest& t) {
  t.anchors.add(t.fake(), Milliseconds(60'000));
  t.anchors.on_head(head_of(1));
  t.answer({});
  t.anchors.on_head(head_of(2));
  t.anchors.on_head(head_of(3));
  assert_int_equal(t.sizes.size(), 1);
  t.anchors.finish(head_of(4), [&t] { t.finished = true; });
  assert_int_equal(t.sizes.size(), 2);
  assert_int_equal(t.sizes[1], 4);
  assert_false(t.finished);
  t.answer({});
  const bool finished = t.turn_until([&t] { return t.finished; });
  assert_true(finished);
}

void an_interval_ends(AnchorTest& t) {
  t.anchors.add(t.fake(), Milliseconds(50));
  t.anchors.on_head(head_of(1));
  t.answer({});
  t.anchors.on_head(head_of(2));
  const bool came = t.turn_until([&t] { return t.sizes.size() == 2; });
  assert_true(came);
}

void the_end_waits_for_what_is_under_way_and_then_for_the_last(AnchorTest& t) {
  t.anchors.add(t.fake());
  t.anchors.on_head(head_of(1));
  t.anchors.finish(head_of(2), [&t] { t.finished = true; });
  t.answer({});
  assert_int_equal(t.sizes.size(), 2);
  assert_false(t.finished);
  t.answer(error(Errc::refused, "no"));
  const bool finished = t.turn_until([&t] { return t.finished; });
  assert_true(finished);
}

void without_anchors_the_end_waits_for_nothing(AnchorTest& t) {
  t.anchors.finish(head_of(2), [&t] { t.finished = true; });
  assert_false(t.finished);  // from the loop
  const bool finished = t.turn_until([&t] { return t.finished; });
  assert_true(finished);
}

void the_end_does_not_wait_for_ever(AnchorTest& t) {
  Anchors anchors(
      t.loop, "r1", [](const auto&, const auto&) {}, Milliseconds(1500));
  anchors.add(t.fake());
  anchors.finish(head_of(1), [&t] { t.finished = true; });
  const bool early = t.turn_until([&t] { return t.finished; }, Milliseconds(1200));
  assert_false(early);
  const bool finished = t.turn_until([&t] { return t.finished; });
  assert_true(finished);
}

void a_proxy_is_told_as_variables_would(AnchorTest&) {
  const auto proxy = parse_proxy_voice("http://us%40er:p%3Aw@proxy.test:3128", "test");
  assert_true(proxy.has_value());
  const auto read = environment_of_proxy(*proxy, "lan.test");
  assert_string_equal(read("http_proxy"), "http://us%40er:p%3aw@proxy.test:3128");
  assert_string_equal(read("https_proxy"), read("http_proxy"));
  assert_string_equal(read("no_proxy"), "lan.test");
  assert_null(read("all_proxy"));
  const auto plain = parse_proxy_voice("proxy.test:3128", "test");
  assert_string_equal(environment_of_proxy(*plain, "")("http_proxy"), "http://proxy.test:3128");
  assert_null(environment_of_proxy(nullptr, "")("http_proxy"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AnchorTest, a_file_is_made_for_its_owner_and_appended_to),
      MOAT_TEST(AnchorTest, a_file_that_cannot_be_written_to_is_told),
      MOAT_TEST(AnchorTest, a_fifo_blocks_nothing),
      MOAT_TEST(AnchorTest, the_systems_log_gets_a_line),
      MOAT_TEST(AnchorTest, a_log_that_is_full_or_missing_blocks_nothing),
      MOAT_TEST(AnchorTest, a_command_gets_the_note_and_what_it_is_of),
      MOAT_TEST(AnchorTest, a_command_that_fails_is_quoted),
      MOAT_TEST(AnchorTest, a_command_that_hangs_is_killed_with_all_that_it_has_started),
      MOAT_TEST(AnchorTest, only_the_newest_head_waits),
      MOAT_TEST(AnchorTest, one_that_is_slow_keeps_no_other_waiting),
      MOAT_TEST(AnchorTest, a_failure_is_told_once_until_it_works_again),
      MOAT_TEST(AnchorTest, an_interval_is_kept_but_for_the_last),
      MOAT_TEST(AnchorTest, an_interval_ends),
      MOAT_TEST(AnchorTest, the_end_waits_for_what_is_under_way_and_then_for_the_last),
      MOAT_TEST(AnchorTest, without_anchors_the_end_waits_for_nothing),
      MOAT_TEST(AnchorTest, the_end_does_not_wait_for_ever),
      MOAT_TEST(AnchorTest, a_proxy_is_told_as_variables_would),
  };
  return cmocka_run_group_tests_name("top/anchors", tests, nullptr, nullptr);
}
