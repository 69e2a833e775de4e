#include "runtime/bubblewrap_arguments.h"

#include <algorithm>
#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

using test::Nothing;

// The options as one line, so that a test reads as bwrap's command line does.
std::string line(const SandboxSpec& spec, const std::vector<RootStep>& root = {},
                 bool privileged = false) {
  std::string text;
  const auto made = bubblewrap_arguments(spec, root, "/host/moat-init", "/host/s", privileged);
  for (const auto& option : made.options) text += option + " ";
  return text;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void every_namespace_is_new_and_the_uid_is_roots(Nothing&) {
  const std::string made = line({});
  const bool right = has(made, "--unshare-user --unshare-all --uid 0 --gid 0 ") &&
                     has(made, "--cap-add CAP_NET_ADMIN ") && has(made, "--cap-add CAP_SETFCAP ") &&
                     has(made, "--as-pid-1 --die-with-parent --new-session ") &&
                     has(made, "--clearenv ") && !has(made, "share-net");
  assert_true(right);
  // It would mount, and see other processes.
  const bool spared = !has(made, "CAP_SYS_ADMIN") && !has(made, "CAP_SYS_PTRACE");
  assert_true(spared);
}

void each_kind_of_step_has_its_option(Nothing&) {
  using Kind = RootStep::Kind;
  struct Case {
    RootStep step;
    const char* options;
  };
  const Case cases[] = {
      {{Kind::bind, "/usr", "/usr"}, "--ro-bind /usr /usr "},
      {{Kind::link, "/bin", "usr/bin"}, "--symlink usr/bin /bin "},
      {{Kind::directory, "/tmp", {}, 01777}, "--perms 1777 --dir /tmp "},
      {{Kind::copy, "/etc/a", "/etc/b", 0644}, "--perms 0644 --file 4 /etc/a "},
      {{Kind::text, "/etc/a", "text", 0600}, "--perms 0600 --file 4 /etc/a "},
  };
  for (const auto& [step, options] : cases) {
    const bool right = has(line({}, {step}), options);
    assert_true(right);
  }
}

void files_are_numbered_in_order(Nothing&) {
  using Kind = RootStep::Kind;
  const auto made = bubblewrap_arguments(
      {}, {{Kind::copy, "/a", "/host/a"}, {Kind::text, "/b", "text of b"}}, "/i", "/s", false);
  assert_int_equal(made.files.size(), 2);
  const bool right = made.files[0].copy && made.files[0].from == "/host/a" && !made.files[1].copy &&
                     made.files[1].from == "text of b";
  assert_true(right);
  const auto second = std::find(made.options.begin(), made.options.end(), "/b");
  const bool numbered = second != made.options.end() && *(second - 1) == "5";
  assert_true(numbered);
}

void mounts_come_in_order_and_moats_own_directory_last(Nothing&) {
  SandboxSpec spec;
  spec.mounts = {{"/home/me/w", "/workspace", false}, {"/home/me/d", "/workspace/d", true}};
  const std::string made = line(spec);
  const size_t first = made.find("--bind /home/me/w /workspace ");
  const size_t second = made.find("--ro-bind /home/me/d /workspace/d ");
  const size_t own = made.find("--ro-bind /host/moat-init /run/moat/init ");
  const size_t socket = made.find("--ro-bind /host/s /run/moat/init.sock ");
  const bool ordered = first < second && second < own && own < socket && socket < made.size();
  assert_true(ordered);
}

// An argument of the workspace's or the user's is one argument, whatever it holds.
void a_path_cannot_become_an_option(Nothing&) {
  SandboxSpec spec;
  spec.mounts = {{"/w --share-net", "/x\n--bind / /y", false}};
  const auto made = bubblewrap_arguments(spec, {}, "/i", "/s", false);
  const auto& options = made.options;
  const bool apart = std::find(options.begin(), options.end(), "--share-net") == options.end() &&
                     std::find(options.begin(), options.end(), "/w --share-net") != options.end();
  assert_true(apart);
}

void what_root_may_write_in_proc_is_covered(Nothing&) {
  const std::string privileged = line({}, {}, true);
  for (const char* name : {"sys", "sysrq-trigger", "irq", "bus", "fs", "scsi", "acpi"}) {
    const std::string path = std::string("/proc/") + name;
    const bool covered = has(privileged, "--ro-bind-try " + path + " " + path + " ");
    assert_true(covered);
  }
  const bool after_proc = privileged.find("--proc /proc") < privileged.find("/proc/sys");
  assert_true(after_proc);
  const bool needless = has(line({}), "/proc/sys");
  assert_false(needless);
}

void a_version_is_read_and_an_old_one_refused(Nothing&) {
  const auto good = bubblewrap_version("bubblewrap 0.8.0\n");
  const bool read = good && *good == "0.8.0";
  assert_true(read);
  const auto old = bubblewrap_version("bubblewrap 0.4.1\n");
  const bool refused = !old && old.error().code == Errc::unsupported;
  assert_true(refused);
  for (const char* text : {"", "\n", "bwrap", "bubblewrap x.y", "bubblewrap", "a b c"}) {
    const bool unread = !bubblewrap_version(text);
    assert_true(unread);
  }
}

void a_failure_is_told_in_bwraps_words_with_the_remedy(Nothing&) {
  struct Case {
    const char* words;
    NamespaceSwitches switches;
    const char* remedy;
  };
  const char* forbidden =
      "bwrap: No permissions to creating new namespace, likely because the kernel does not allow "
      "non-privileged user namespaces.\n";
  const Case cases[] = {
      {forbidden, {0, -1, 1000}, "sysctl -w kernel.unprivileged_userns_clone=1"},
      {"bwrap: Creating new namespace failed: No space left on device",
       {-1, -1, 0},
       "sysctl -w user.max_user_namespaces=10000"},
      {"bwrap: setting up uid map: Permission denied",
       {1, 1, 1000},
       "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
      {"bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", {1, 1, 1000}, "AppArmor"},
      {forbidden, {1, 0, 1000}, "needs user namespaces"},
      {"bwrap: Can't find source path /x: No such file", {1, 0, 1000}, "/x: No such file"},
      {"", {}, "no reason"},
  };
  for (const auto& one : cases) {
    const Error told = explain_bubblewrap(one.words, one.switches);
    const bool remedy = has(told.message, one.remedy) && !has(told.message, "\n");
    if (!remedy) print_error("%s\n", told.message.c_str());
    assert_true(remedy);
  }
  const Error long_one = explain_bubblewrap(std::string(100000, 'x'), {});
  assert_true(long_one.message.size() < 1000);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, every_namespace_is_new_and_the_uid_is_roots),
      MOAT_TEST(Nothing, each_kind_of_step_has_its_option),
      MOAT_TEST(Nothing, files_are_numbered_in_order),
      MOAT_TEST(Nothing, mounts_come_in_order_and_moats_own_directory_last),
      MOAT_TEST(Nothing, a_path_cannot_become_an_option),
      MOAT_TEST(Nothing, what_root_may_write_in_proc_is_covered),
      MOAT_TEST(Nothing, a_version_is_read_and_an_old_one_refused),
      MOAT_TEST(Nothing, a_failure_is_told_in_bwraps_words_with_the_remedy),
  };
  return cmocka_run_group_tests_name("runtime/bubblewrap_arguments", tests, nullptr, nullptr);
}
