#include "core/unix_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "moat_test.h"

namespace moat::test {
namespace {

struct UnixSocketTest {
  std::string top;
  std::string directory;  // longer than sun_path

  UnixSocketTest() {
    char pattern[] = "/tmp/moat-unix-XXXXXX";
    top = mkdtemp(pattern);
    directory = top + "/" + std::string(100, 'a') + "/" + std::string(100, 'b');
    std::filesystem::create_directories(directory);
  }
  ~UnixSocketTest() { std::filesystem::remove_all(top); }
};

void a_path_may_be_longer_than_an_address(UnixSocketTest& t) {
  const auto listener = listen_unix(t.directory, "s.sock", 4);
  assert_true(listener.has_value());
  const auto client = connect_unix(t.directory, "s.sock");
  assert_true(client.has_value());
  const Fd accepted(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  assert_true(static_cast<bool>(accepted));
}

void what_is_there_already_is_not_replaced(UnixSocketTest& t) {
  const auto first = listen_unix(t.directory, "s.sock", 4);
  const auto second = listen_unix(t.directory, "s.sock", 4);
  const bool refused = first.has_value() && !second.has_value();
  assert_true(refused);
}

void failures_name_the_path(UnixSocketTest& t) {
  const auto missing = connect_unix(t.top, "none.sock");
  const bool named =
      !missing && missing.error().message.find(t.top + "/none.sock") != std::string::npos;
  assert_true(named);
  const auto no_directory = listen_unix(t.top + "/none", "s.sock", 1);
  const bool named_too =
      !no_directory && no_directory.error().message.find("/none") != std::string::npos;
  assert_true(named_too);
  const bool too_long = !listen_unix(t.top, std::string(120, 'x'), 1);
  assert_true(too_long);
}

}  // namespace
}  // namespace moat::test

int main() {
  using namespace moat::test;
  const CMUnitTest tests[] = {
      MOAT_TEST(UnixSocketTest, a_path_may_be_longer_than_an_address),
      MOAT_TEST(UnixSocketTest, what_is_there_already_is_not_replaced),
      MOAT_TEST(UnixSocketTest, failures_name_the_path),
  };
  return cmocka_run_group_tests_name("core/unix_socket", tests, nullptr, nullptr);
}
