#include <string>
#include <vector>

#include "log_tail.h"

#include "moat_test.h"

using namespace moat;
using moat::test::Nothing;

namespace {

// "o:a. e:b o:c." are three pieces, the first and the last of which end a line.
std::vector<store::LogLine> pieces(const std::string& text) {
  std::vector<store::LogLine> all;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    store::LogLine piece;
    piece.seq = all.size();
    piece.stream = text[at] == 'e' ? 2 : 1;
    piece.bytes = text.substr(at + 2, end - at - 2);
    if (piece.bytes.ends_with('.')) piece.bytes.back() = '\n';
    all.push_back(piece);
    at = end + 1;
  }
  return all;
}

LogTail tail(const std::vector<store::LogLine>& all, uint64_t count, size_t& looked_at) {
  LogTail found(count);
  looked_at = 0;
  for (auto piece = all.rbegin(); piece != all.rend() && !found.done(); ++piece, ++looked_at)
    found.look_at(*piece);
  return found;
}

// The pieces that are of the last lines, by their text.
std::string last(const std::string& text, uint64_t count) {
  const auto all = pieces(text);
  size_t looked_at = 0;
  const LogTail found = tail(all, count, looked_at);
  std::string shown;
  for (const auto& piece : all) {
    if (!found.has(piece)) continue;
    if (piece.seq < found.begin()) return "a piece before the first";
    shown += piece.bytes.substr(0, piece.bytes.find('\n'));
  }
  return shown;
}

void check(const std::string& got, const std::string& expected) {
  if (got != expected) print_error("got '%s'\nnot '%s'\n", got.c_str(), expected.c_str());
  assert_true(got == expected);
}

void lines_of_both_streams_count_together(Nothing&) {
  check(last("o:a. o:b. e:c. o:d.", 2), "cd");
  check(last("o:a. o:b. e:c. o:d.", 3), "bcd");
  check(last("o:a. o:b.", 5), "ab");
  check(last("o:a. o:b.", 0), "");
  check(last("", 3), "");
}

void what_is_open_at_the_end_is_a_line(Nothing&) {
  check(last("o:a. o:b. o:c", 1), "c");
  check(last("o:a. o:b. o:c", 2), "bc");
  check(last("o:a. o:b e:c", 1), "c");
  check(last("o:a. o:b e:c", 2), "bc");
}

void a_line_is_shown_whole(Nothing&) {
  check(last("o:a. o:b o:c o:d.", 1), "bcd");
  // With the other stream's lines in between, which are older than what is wanted.
  check(last("o:a. o:b e:x. o:c e:y. o:d.", 1), "bcd");
  check(last("o:a. o:b e:x. o:c e:y. o:d.", 2), "bcyd");
  check(last("e:w o:a e:x. o:b. e:y.", 2), "aby");
}

void what_comes_later_is_shown(Nothing&) {
  const auto all = pieces("o:a. e:b.");
  size_t looked_at = 0;
  const LogTail found = tail(all, 0, looked_at);
  store::LogLine later;
  later.seq = 2;
  assert_true(found.has(later));
  later.stream = 2;
  assert_true(found.has(later));
}

void no_more_is_looked_at_than_need_be(Nothing&) {
  std::string text = "e:x. e:y";
  for (uint64_t i = 0; i < 3 * LogTail::most_past; ++i) text += " o:a.";
  size_t looked_at = 0;
  const auto many = pieces(text);
  LogTail found = tail(many, 5, looked_at);
  assert_int_equal(looked_at, 6);
  assert_int_equal(found.begin(), many.size() - 5);
  // The end of a line of the other stream, which began long before.
  const auto open = pieces(text + " e:z.");
  found = tail(open, 2, looked_at);
  assert_int_equal(looked_at, 3 + LogTail::most_past + 1);
  assert_true(found.has(open.back()));
  assert_false(found.has(open[1]));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, lines_of_both_streams_count_together),
      MOAT_TEST(Nothing, what_is_open_at_the_end_is_a_line),
      MOAT_TEST(Nothing, a_line_is_shown_whole),
      MOAT_TEST(Nothing, what_comes_later_is_shown),
      MOAT_TEST(Nothing, no_more_is_looked_at_than_need_be),
  };
  return cmocka_run_group_tests_name("top/log_tail", tests, nullptr, nullptr);
}
