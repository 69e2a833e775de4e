#include "terminal_modes.h"

#include "moat_test.h"

namespace moat::test {
namespace {

struct ModesTest {
  // The same, whole and cut at every byte.
  std::string after(const std::string& bytes) {
    TerminalModes whole;
    whole.feed(bytes);
    TerminalModes cut;
    for (const char byte : bytes) cut.feed({&byte, 1});
    text = whole.undo();
    if (cut.undo() != text) text = "differs: " + cut.undo();
    for (size_t at; (at = text.find('\x1b')) != std::string::npos;) text.replace(at, 1, "ESC");
    return text;
  }
  std::string text;
};

void what_is_written_plainly_leaves_nothing(ModesTest& t) {
  for (const char* bytes :
       {"", "text\r\n\t\b\a", "\xc3\xa9\xe2\x82\xac", "\x1b[2J\x1b[H\x1b[10;20H",
        "\x1b[31mred\x1b[m", "\x1b[1;31mred\x1b[0m", "\x1b[1mbold\x1b[22;0m", "\x1b]0;a title\x07",
        "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x1bP+q544e\x1b\\", "\x1b(B\x1b)0",
        "\x1b[?25l\x1b[?25h", "\x1b[?1049h\x1b[?1049l", "\x1b[>1u\x1b[<u", "\x1b[5;10r\x1b[r",
        "\x1b[4 q\x1b[0 q", "\x1b[>4;2m\x1b[>4;0m", "\x1b[>c\x1b[?6n\x1b[6n"})
    assert_string_equal(t.after(bytes).c_str(), "");
}

void what_was_changed_is_undone(ModesTest& t) {
  const std::pair<const char*, const char*> cases[] = {
      {"\x1b[?2004h", "ESC[?2004l"},
      {"\x1b[?25l", "ESC[?25h"},
      {"\x1b[?1049h", "ESC[?1049l"},
      {"\x1b[?1000;1006h", "ESC[?1000lESC[?1006l"},
      {"\x1b[?1000h\x1b[?1003h\x1b[?1000l", "ESC[?1003l"},
      {"\x1b[?7l", "ESC[?7h"},
      {"\x1b=", "ESC>"},
      {"\x1b[>1u", "ESC[<1uESC[=0;1u"},
      {"\x1b[>1u\x1b[>3u\x1b[<u\x1b[>5u", "ESC[<2uESC[=0;1u"},
      {"\x1b[>1u\x1b[?1049h\x1b[>1u\x1b[>1u", "ESC[<2uESC[=0;1uESC[?1049lESC[<1uESC[=0;1u"},
      {"\x1b[=5u", "ESC[<1uESC[=0;1u"},
      {"\x1b[>4;2m", "ESC[>4;0m"},
      {"\x1b[31m", "ESC[m"},
      {"\x1b[0;7m", "ESC[m"},
      {"\x1b[5;10r", "ESC7ESC[rESC8"},
      {"\x1b(0qqq", "ESC(B"},
      {"\x0e", "\x0f"},
      {"\x1b[4 q", "ESC[0 q"},
      {"\x1b[?1h\x1b[?12;25h", "ESC[?1l"},
  };
  for (const auto& [bytes, undo] : cases) assert_string_equal(t.after(bytes).c_str(), undo);
}

void what_is_cut_short_swallows_nothing(ModesTest& t) {
  assert_string_equal(t.after("\x1b[?25l\x1b[?20").c_str(),
                      "\x18"
                      "ESC[?25h");
  assert_string_equal(t.after("\x1b]0;half a title").c_str(), "\x18");
  assert_string_equal(t.after("\x1b[?25\x18lh").c_str(), "");
}

void within_a_string_nothing_counts(ModesTest& t) {
  assert_string_equal(t.after("\x1b]0;[?25l\x07").c_str(), "");
  assert_string_equal(t.after("\x1bPq[?25l[?1049h\x1b\\").c_str(), "");
  // But for an escape, which ends it.
  assert_string_equal(t.after("\x1b]0;title\x1b[?25l").c_str(), "ESC[?25h");
}

void a_reset_undoes_all(ModesTest& t) {
  assert_string_equal(t.after("\x1b[?25l\x1b[?1049h\x1b[>1u\x1b[31m\x1b"
                              "c")
                          .c_str(),
                      "");
  assert_string_equal(t.after("\x1b[?25l\x1b[?1h\x1b[31m\x1b[?2004h\x1b[!p").c_str(), "ESC[?2004l");
}

void hostile_numbers_do_no_harm(ModesTest& t) {
  const std::string many(100'000, ';');
  assert_string_equal(t.after("\x1b[?" + many + "25l").c_str(), "");
  assert_string_equal(t.after("\x1b[?99999999999999999999h\x1b[?-1h\x1b[?h").c_str(), "");
  std::string pushes;
  for (int i = 0; i < 10'000; ++i) pushes += "\x1b[>1u";
  assert_string_equal(t.after(pushes).c_str(), "ESC[<99uESC[=0;1u");
  assert_string_equal(t.after("\x1b[>1u\x1b[<4000000000u").c_str(), "");
}

void a_change_is_told(ModesTest& /*t*/) {
  TerminalModes modes;
  assert_false(modes.feed("text"));
  assert_true(modes.feed("\x1b[?25"));  // the sequence under way is to be ended first
  assert_true(modes.feed("l"));
  assert_false(modes.feed("more text"));
  assert_true(modes.feed("\x1b[?25h"));
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(ModesTest, what_is_written_plainly_leaves_nothing),
      MOAT_TEST(ModesTest, what_was_changed_is_undone),
      MOAT_TEST(ModesTest, what_is_cut_short_swallows_nothing),
      MOAT_TEST(ModesTest, within_a_string_nothing_counts),
      MOAT_TEST(ModesTest, a_reset_undoes_all),
      MOAT_TEST(ModesTest, hostile_numbers_do_no_harm),
      MOAT_TEST(ModesTest, a_change_is_told),
  };
  return cmocka_run_group_tests_name("top/terminal_modes", tests, nullptr, nullptr);
}
