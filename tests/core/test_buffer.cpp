#include "core/buffer.h"

#include <string>

#include "moat_test.h"

namespace moat::test {
namespace {

struct BufferTest {
  Buffer buffer;
  std::string model;
};

void bytes_leave_in_the_order_they_came(BufferTest& t) {
  t.buffer.append("hello ");
  t.buffer.append("world");
  t.buffer.consume(6);
  assert_true(t.buffer.view() == "world");
  t.buffer.append("!");
  assert_true(t.buffer.view() == "world!");
  t.buffer.consume(100);
  assert_true(t.buffer.empty());
}

void room_is_written_into_and_committed(BufferTest& t) {
  t.buffer.append("abc");
  t.buffer.consume(1);
  char* room = t.buffer.room(10);
  room[0] = 'd';
  room[1] = 'e';
  t.buffer.grew(2);
  assert_true(t.buffer.view() == "bcde");
}

void it_agrees_with_a_plain_string_whatever_the_order(BufferTest& t) {
  unsigned seed = 1;
  for (int i = 0; i < 20'000; ++i) {
    seed = seed * 1103515245 + 12345;
    const size_t count = seed / 65536 % 700;
    if (seed % 3 != 0) {
      t.buffer.append(std::string(count, static_cast<char>('a' + i % 26)));
      t.model.append(count, static_cast<char>('a' + i % 26));
    } else {
      t.buffer.consume(count * 2);
      t.model.erase(0, count * 2);
    }
    assert_true(t.buffer.view() == t.model);
  }
}

void what_waits_may_be_altered_and_handed_over(BufferTest& t) {
  t.buffer.append("xhello");
  t.buffer.consume(1);
  t.buffer.data()[0] = 'j';
  Buffer other(std::move(t.buffer));
  assert_true(other.view() == "jello");
  t.buffer.append("new");
  other.swap(t.buffer);
  assert_true(t.buffer.view() == "jello" && other.view() == "new");
  other = std::move(t.buffer);
  assert_true(other.view() == "jello");
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(BufferTest, bytes_leave_in_the_order_they_came),
      MOAT_TEST(BufferTest, room_is_written_into_and_committed),
      MOAT_TEST(BufferTest, what_waits_may_be_altered_and_handed_over),
      MOAT_TEST(BufferTest, it_agrees_with_a_plain_string_whatever_the_order),
  };
  return cmocka_run_group_tests_name("core/buffer", tests, nullptr, nullptr);
}
