#include "core/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "core/fd.h"
#include "moat_test.h"

namespace moat::test {
namespace {

// Has stderr go into a pipe.
struct LogTest {
  FdPair pipe = *make_pipe(true);
  Fd before{dup(STDERR_FILENO)};
  std::string text;
  std::string longest;

  LogTest() { dup2(pipe.second.get(), STDERR_FILENO); }
  ~LogTest() {
    dup2(before.get(), STDERR_FILENO);
    set_log_level(Level::info);
  }
  const char* said() {
    char bytes[8192];
    const ssize_t count = read(pipe.first.get(), bytes, sizeof bytes);
    text.assign(bytes, count > 0 ? static_cast<size_t>(count) : 0);
    return text.c_str();
  }
};

void a_message_is_one_line_with_the_name_of_the_program(LogTest& t) {
  log(Level::error, "cannot open %s", "x");
  assert_string_equal(t.said(), "moat: cannot open x\n");
  log(Level::warning, "old");
  assert_string_equal(t.said(), "moat: warning: old\n");
}

void what_is_below_the_level_is_not_said(LogTest& t) {
  log(Level::debug, "detail");
  assert_string_equal(t.said(), "");
  set_log_level(Level::debug);
  log(Level::debug, "detail");
  assert_string_equal(t.said(), "moat: debug: detail\n");
  set_log_level(Level::error);
  log(Level::warning, "detail");
  assert_string_equal(t.said(), "");
}

void control_characters_do_not_reach_the_terminal(LogTest& t) {
  log(Level::error, "name %s", "\x1b]0;owned\x07");
  assert_string_equal(t.said(), "moat: name \\x1b]0;owned\\x07\n");
}

void a_message_without_end_is_cut(LogTest& t) {
  t.longest.assign(100'000, '\x1b');
  log(Level::error, "%s", t.longest.c_str());
  t.said();
  assert_true(t.text.size() < 4096);
  assert_true(t.text.back() == '\n');
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(LogTest, a_message_is_one_line_with_the_name_of_the_program),
      MOAT_TEST(LogTest, what_is_below_the_level_is_not_said),
      MOAT_TEST(LogTest, control_characters_do_not_reach_the_terminal),
      MOAT_TEST(LogTest, a_message_without_end_is_cut),
  };
  return cmocka_run_group_tests_name("core/log", tests, nullptr, nullptr);
}
