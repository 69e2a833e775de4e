#include "runtime/mounts.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

struct MountsTest {
  std::string directory;

  MountsTest() {
    char name[] = "/tmp/moat.XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp");
    directory = name;
  }
  ~MountsTest() { std::filesystem::remove_all(directory); }

  bool allowed(const std::string& target) const {
    return check_mounts({{directory, target, false}}).has_value();
  }
};

void a_directory_or_file_may_be_mounted(MountsTest& t) {
  std::ofstream(t.directory + "/file") << "text";
  const auto checked = check_mounts(
      {{t.directory, "/workspace", false}, {t.directory + "/file", "/etc/extra", true}});
  const bool allowed = checked.has_value();
  assert_true(allowed);
}

void what_the_sandbox_stands_on_is_not_a_target(MountsTest& t) {
  for (const char* target : {"/", "/proc", "/proc/sys", "/dev", "/dev/null", "/sys", "/sys/fs",
                             "/run", "/run/moat", "/run/moat/init", "/run/moat/init.sock"}) {
    const bool allowed = t.allowed(target);
    assert_false(allowed);
  }
  for (const char* target : {"/run/moats", "/run/user", "/processes", "/developer"}) {
    const bool allowed = t.allowed(target);
    assert_true(allowed);
  }
}

void a_path_that_does_not_say_where_it_leads_is_refused(MountsTest& t) {
  for (const char* target : {"", "relative", "/a/../proc", "/a/./b", "/a//b", "/a/", "//", "/.."}) {
    const bool allowed = t.allowed(target);
    assert_false(allowed);
  }
  const bool nul = t.allowed(std::string("/a\0/proc", 8));
  assert_false(nul);
}

void a_missing_source_is_named(MountsTest& t) {
  const auto checked = check_mounts({{t.directory + "/not-there", "/workspace", false}});
  const bool named = !checked && checked.error().code == Errc::not_found &&
                     checked.error().message.find("/not-there") != std::string::npos;
  assert_true(named);
}

void a_device_or_socket_is_no_source(MountsTest& t) {
  const auto device = check_mounts({{"/dev/null", "/workspace/null", false}});
  const bool refused_device = !device;
  assert_true(refused_device);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (t.directory + "/s").copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  close(fd);
  const auto socket_file = check_mounts({{t.directory + "/s", "/run/docker.sock", false}});
  const bool refused_socket = !socket_file;
  assert_true(refused_socket);
}

void a_target_is_mounted_once(MountsTest& t) {
  const auto checked =
      check_mounts({{t.directory, "/workspace", false}, {"/usr", "/workspace", true}});
  const bool refused = !checked;
  assert_true(refused);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(MountsTest, a_directory_or_file_may_be_mounted),
      MOAT_TEST(MountsTest, what_the_sandbox_stands_on_is_not_a_target),
      MOAT_TEST(MountsTest, a_path_that_does_not_say_where_it_leads_is_refused),
      MOAT_TEST(MountsTest, a_missing_source_is_named),
      MOAT_TEST(MountsTest, a_device_or_socket_is_no_source),
      MOAT_TEST(MountsTest, a_target_is_mounted_once),
  };
  return cmocka_run_group_tests_name("runtime/mounts", tests, nullptr, nullptr);
}
