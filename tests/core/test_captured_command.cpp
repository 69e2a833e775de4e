#include <optional>

#include "core/child.h"
#include "moat_test.h"

namespace moat::test {
namespace {

struct CommandTest {
  Loop loop;
  std::unique_ptr<CapturedCommand> command;
  std::optional<Result<CommandOutput>> result;

  void run(std::vector<std::string> argv, Milliseconds limit = Milliseconds(4000),
           size_t max_output = 1000) {
    result.reset();
    command = std::make_unique<CapturedCommand>(loop, std::move(argv), limit, max_output,
                                                [this](Result<CommandOutput> r) {
                                                  result.emplace(std::move(r));
                                                  command.reset();  // in its own callback
                                                });
  }
  bool done() {
    return turn_until(loop, [this] { return result.has_value(); });
  }
};

void output_and_status_are_gathered(CommandTest& t) {
  t.run({"sh", "-c", "echo out; echo err >&2; exit 3"});
  assert_false(t.result.has_value());
  assert_true(t.done());
  assert_true(t.result->has_value());
  const CommandOutput& output = t.result->value();
  assert_int_equal(output.status.code, 3);
  assert_string_equal(output.out.c_str(), "out\n");
  assert_string_equal(output.err.c_str(), "err\n");
}

void what_is_too_much_is_dropped_and_does_not_hang(CommandTest& t) {
  t.run({"sh", "-c", "head -c 1000000 /dev/zero"});
  assert_true(t.done());
  assert_true(t.result->has_value());
  assert_int_equal(t.result->value().out.size(), 1000);
  assert_int_equal(t.result->value().status.code, 0);
}

void a_program_that_takes_too_long_is_killed(CommandTest& t) {
  t.run({"sleep", "100"}, Milliseconds(50));
  assert_true(t.done());
  assert_int_equal(t.result->error().code, Errc::timeout);
  assert_string_equal(t.result->error().message.c_str(), "sleep takes too long");
}

void a_grandchild_that_keeps_the_pipe_does_not_keep_us(CommandTest& t) {
  t.run({"sh", "-c", "sleep 3 & echo done"}, Milliseconds(200));
  assert_true(t.done());
  assert_true(t.result->has_value());
  assert_string_equal(t.result->value().out.c_str(), "done\n");
}

void a_program_that_is_not_there_is_told_from_the_loop(CommandTest& t) {
  t.run({"no-such-program-at-all"});
  assert_false(t.result.has_value());
  assert_true(t.done());
  assert_int_equal(t.result->error().code, Errc::not_found);
}

void destroying_it_says_nothing(CommandTest& t) {
  t.run({"sh", "-c", "echo x"});
  t.command.reset();
  t.loop.turn(Milliseconds(20));
  assert_false(t.result.has_value());
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(CommandTest, output_and_status_are_gathered),
      MOAT_TEST(CommandTest, what_is_too_much_is_dropped_and_does_not_hang),
      MOAT_TEST(CommandTest, a_program_that_takes_too_long_is_killed),
      MOAT_TEST(CommandTest, a_grandchild_that_keeps_the_pipe_does_not_keep_us),
      MOAT_TEST(CommandTest, a_program_that_is_not_there_is_told_from_the_loop),
      MOAT_TEST(CommandTest, destroying_it_says_nothing),
  };
  return cmocka_run_group_tests_name("core/captured_command", tests, nullptr, nullptr);
}
