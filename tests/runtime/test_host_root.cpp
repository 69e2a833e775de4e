#include "runtime/host_root.h"

#include <algorithm>
#include <map>
#include <string>

#include "moat_test.h"

using namespace moat;
using namespace moat::runtime;

namespace {

using FileKind = HostFile::Kind;
using StepKind = RootStep::Kind;

struct HostRootTest {
  std::map<std::string, HostFile> files;
  SandboxSpec spec;
  std::vector<RootStep> steps;

  void build() {
    steps = host_root(spec, [this](const std::string& path) {
      const auto found = files.find(path);
      return found != files.end() ? found->second : HostFile{};
    });
  }
  [[nodiscard]] const RootStep* find(const std::string& path) const {
    const auto found = std::find_if(steps.begin(), steps.end(),
                                    [&](const RootStep& step) { return step.path == path; });
    return found != steps.end() ? &*found : nullptr;
  }
  [[nodiscard]] bool is(const std::string& path, StepKind kind, const std::string& from) const {
    const auto* step = find(path);
    return step != nullptr && step->kind == kind && step->from == from;
  }
};

void a_merged_usr_is_linked_and_an_unmerged_one_mounted(HostRootTest& t) {
  t.files["/bin"] = {FileKind::link, "usr/bin"};
  t.files["/lib64"] = {FileKind::link, "/usr/lib64"};
  t.files["/sbin"] = {FileKind::directory, {}};
  t.build();
  const bool right = t.is("/usr", StepKind::bind, "/usr") &&
                     t.is("/bin", StepKind::link, "usr/bin") &&
                     t.is("/lib64", StepKind::link, "/usr/lib64") &&
                     t.is("/sbin", StepKind::bind, "/sbin") && t.find("/lib32") == nullptr;
  assert_true(right);
}

void java_finds_its_configuration_and_a_store_to_be_filled(HostRootTest& t) {
  t.files["/etc/java-17-openjdk"] = {FileKind::directory, {}};
  t.files["/etc/ssl/certs/java/cacerts"] = {FileKind::file, {}};
  t.build();
  const bool right = t.is("/etc/java-17-openjdk", StepKind::bind, "/etc/java-17-openjdk") &&
                     t.find("/etc/java-21-openjdk") == nullptr &&
                     t.is("/etc/ssl/certs/java/cacerts", StepKind::text, "") &&
                     t.find("/etc/pki/java/cacerts") == nullptr;
  assert_true(right);
}

// A host on which everything exists: only what was chosen may be seen.
void nothing_is_shown_that_was_not_chosen(HostRootTest& t) {
  t.steps = host_root(t.spec, [](const std::string&) { return HostFile{FileKind::file, {}}; });
  for (const auto& step : t.steps) {
    if (step.kind != StepKind::bind && step.kind != StepKind::copy) continue;
    const bool chosen = step.from == "/usr" || step.from.rfind("/etc/", 0) == 0 ||
                        step.from.rfind("/var/lib/ca-certificates/", 0) == 0;
    assert_true(chosen);
    for (const char* secret :
         {"shadow", "ssh", "private", "machine-id", "passwd", "group", "gitconfig", "npmrc", "pip",
          "sudoers", "hosts", "resolv", "docker", "krb5", "profile", "environment"}) {
      const bool shown = step.from.find(secret) != std::string::npos;
      assert_false(shown);
    }
  }
}

void a_link_out_of_usr_is_not_followed(HostRootTest& t) {
  t.files["/etc/localtime"] = {FileKind::link, "/usr/share/zoneinfo/UTC"};
  t.files["/etc/os-release"] = {FileKind::link, "../usr/lib/os-release"};
  t.files["/etc/services"] = {FileKind::link, "/root/services"};
  t.files["/etc/protocols"] = {FileKind::link, "/usr/../root/protocols"};
  t.files["/etc/magic"] = {FileKind::other, {}};
  t.build();
  const bool right = t.is("/etc/localtime", StepKind::link, "/usr/share/zoneinfo/UTC") &&
                     t.is("/etc/os-release", StepKind::link, "../usr/lib/os-release") &&
                     t.find("/etc/services") == nullptr && t.find("/etc/protocols") == nullptr &&
                     t.find("/etc/magic") == nullptr;
  assert_true(right);
}

void the_ca_bundle_becomes_a_file_of_the_sandboxs_own(HostRootTest& t) {
  t.files["/etc/ssl/certs/ca-certificates.crt"] = {FileKind::file, {}};
  t.files["/etc/pki/tls/certs/ca-bundle.crt"] = {FileKind::link, "../../ca-trust/bundle.pem"};
  t.files["/etc/pki/ca-trust/bundle.pem"] = {FileKind::file, {}};
  t.files["/etc/ssl/cert.pem"] = {FileKind::link, "cert.pem"};  // in a circle
  t.build();
  const bool right =
      t.is("/etc/ssl/certs/ca-certificates.crt", StepKind::copy,
           "/etc/ssl/certs/ca-certificates.crt") &&
      t.is("/etc/pki/tls/certs/ca-bundle.crt", StepKind::copy, "/etc/pki/ca-trust/bundle.pem") &&
      t.find("/etc/ssl/cert.pem") == nullptr;
  assert_true(right);
}

void the_commands_user_is_made_up(HostRootTest& t) {
  t.files["/bin/bash"] = {FileKind::file, {}};
  t.spec.uid = 1000;
  t.spec.gid = 1001;
  t.build();
  const bool passwd = t.is("/etc/passwd", StepKind::text,
                           "root:x:0:0:root:/root:/bin/bash\n"
                           "agent:x:1000:1001:agent:/home/agent:/bin/bash\n"
                           "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
  assert_true(passwd);
  const bool group =
      t.is("/etc/group", StepKind::text, "root:x:0:\nagent:x:1001:\nnogroup:x:65534:\n");
  assert_true(group);
  const auto* home = t.find("/home/agent");
  const bool own_home = home != nullptr && home->kind == StepKind::directory && home->mode == 0700;
  assert_true(own_home);
}

void root_is_not_made_up_twice(HostRootTest& t) {
  t.build();
  const bool passwd = t.find("/etc/passwd")->from.find("agent") == std::string::npos;
  assert_true(passwd);
  const bool no_home = t.find("/home/agent") == nullptr && t.find("/root") != nullptr;
  assert_true(no_home);
}

void names_are_looked_up_in_files_and_dns_only(HostRootTest& t) {
  t.build();
  const bool right =
      t.find("/etc/nsswitch.conf")->from.find("hosts: files dns\n") != std::string::npos;
  assert_true(right);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(HostRootTest, a_merged_usr_is_linked_and_an_unmerged_one_mounted),
      MOAT_TEST(HostRootTest, java_finds_its_configuration_and_a_store_to_be_filled),
      MOAT_TEST(HostRootTest, nothing_is_shown_that_was_not_chosen),
      MOAT_TEST(HostRootTest, a_link_out_of_usr_is_not_followed),
      MOAT_TEST(HostRootTest, the_ca_bundle_becomes_a_file_of_the_sandboxs_own),
      MOAT_TEST(HostRootTest, the_commands_user_is_made_up),
      MOAT_TEST(HostRootTest, root_is_not_made_up_twice),
      MOAT_TEST(HostRootTest, names_are_looked_up_in_files_and_dns_only),
  };
  return cmocka_run_group_tests_name("runtime/host_root", tests, nullptr, nullptr);
}
