#include "store/vault.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"

namespace {

using moat::Errc;
using moat::Secret;
using moat::store::Sealed;
using moat::store::Vault;
using moat::test::need;
using moat::test::one;

constexpr std::string_view token = "ghp_0123456789abcdefghijklmnop";

struct VaultTest {
  moat::test::TempDir temp;
  std::string home = temp.path + "/home";
  std::string file = home + "/credentials/github.enc";

  Vault open() { return need(Vault::open(home)); }
  void put(const std::string& name, const std::string& profile = "",
           std::string_view secret = token) {
    Sealed sealed;
    sealed.name = name;
    sealed.profile = profile;
    sealed.facts = one("provider", "github");
    sealed.secret = Secret(secret);
    need(open().put(sealed));
  }
  Errc open_error() {
    const auto vault = Vault::open(home);
    return vault ? Errc::busy : vault.error().code;
  }
  Errc get_error(const std::string& name, const std::string& profile = "") {
    auto vault = open();
    const auto got = vault.get(name, profile);
    return got ? Errc::busy : got.error().code;  // busy: not one that it gives
  }
  unsigned mode(const std::string& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777u : 0;
  }
};

void what_is_put_comes_back(VaultTest& t) {
  t.put("github");
  auto vault = t.open();
  const auto got = need(vault.get("github", ""));
  assert_true(got.secret.equals(token));
  const std::string provider(got.facts["provider"].string());
  assert_string_equal(provider.c_str(), "github");
  assert_string_equal(got.name.c_str(), "github");
  t.put("github", "", "");
  const bool empty = need(vault.get("github", "")).secret.empty();
  assert_true(empty);
}

void secrets_of_any_bytes_are_kept(VaultTest& t) {
  const std::string bytes("\0\xff\n{}", 5);
  t.put("github", "", bytes);
  auto vault = t.open();
  const bool same = need(vault.get("github", "")).secret.equals(bytes);
  assert_true(same);
}

void neither_secret_nor_facts_can_be_read_in_the_file(VaultTest& t) {
  t.put("github");
  const std::string bytes = need(moat::read_file(t.file, 4096));
  for (const std::string& plain :
       {std::string(token), moat::base64(token), std::string("provider")}) {
    const bool found = bytes.find(plain) != std::string::npos;
    assert_false(found);
  }
}

void all_is_for_the_owner_only(VaultTest& t) {
  const mode_t before = umask(0);
  t.put("github");
  t.put("github", "work");
  umask(before);
  for (const char* path :
       {"", "/credentials", "/credentials/profiles", "/credentials/profiles/work"})
    assert_int_equal(t.mode(t.home + path), 0700);
  for (const char* path :
       {"/credentials.key", "/credentials/github.enc", "/credentials/profiles/work/github.enc"})
    assert_int_equal(t.mode(t.home + path), 0600);
}

void profiles_are_apart(VaultTest& t) {
  t.put("github", "", "one");
  t.put("github", "work", "two");
  auto vault = t.open();
  assert_true(need(vault.get("github", "")).secret.equals("one"));
  assert_true(need(vault.get("github", "work")).secret.equals("two"));
  const bool none = t.get_error("github", "home") == Errc::not_found;
  assert_true(none);
}

void names_are_listed_in_order(VaultTest& t) {
  for (const char* name : {"npm", "github", "anthropic", "github:work"}) t.put(name);
  need(moat::write_file_atomically(t.home + "/credentials/.hidden.enc", "x", 0600));
  need(moat::write_file_atomically(t.home + "/credentials/note.txt", "x", 0600));
  auto vault = t.open();
  const auto names = need(vault.names(""));
  const bool right = names == std::vector<std::string>{"anthropic", "github", "github:work", "npm"};
  assert_true(right);
  assert_true(need(vault.names("none")).empty());
}

void what_is_removed_is_gone(VaultTest& t) {
  t.put("github");
  auto vault = t.open();
  need(vault.remove("github", ""));
  const bool gone = t.get_error("github") == Errc::not_found;
  assert_true(gone);
  const auto again = vault.remove("github", "");
  const bool not_found = !again && again.error().code == Errc::not_found;
  assert_true(not_found);
}

void any_changed_byte_is_noticed(VaultTest& t) {
  t.put("github");
  const std::string honest = need(moat::read_file(t.file, 4096));
  for (size_t i = 0; i < honest.size(); ++i) {
    std::string changed = honest;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    need(moat::write_file_atomically(t.file, changed, 0600));
    const Errc code = t.get_error("github");
    const bool noticed = code == Errc::tampered || (i == 11 && code == Errc::unsupported);
    assert_true(noticed);
  }
}

void any_cut_is_noticed(VaultTest& t) {
  t.put("github");
  const std::string honest = need(moat::read_file(t.file, 4096));
  for (size_t size = 0; size < honest.size(); ++size) {
    need(moat::write_file_atomically(t.file, honest.substr(0, size), 0600));
    const Errc code = t.get_error("github");
    const bool noticed = code == Errc::tampered || code == Errc::unsupported;
    assert_true(noticed);
  }
}

void a_file_moved_to_another_name_or_profile_does_not_open(VaultTest& t) {
  t.put("github", "work");
  const std::string from = t.home + "/credentials/profiles/work/github.enc";
  assert_int_equal(link(from.c_str(), t.file.c_str()), 0);
  const bool profile = t.get_error("github") == Errc::tampered;
  assert_true(profile);
  const std::string to = t.home + "/credentials/profiles/work/gitlab.enc";
  assert_int_equal(link(from.c_str(), to.c_str()), 0);
  const bool name = t.get_error("gitlab", "work") == Errc::tampered;
  assert_true(name);
}

void another_key_does_not_open(VaultTest& t) {
  t.put("github");
  assert_int_equal(unlink((t.home + "/credentials.key").c_str()), 0);
  const bool tampered = t.get_error("github") == Errc::tampered;
  assert_true(tampered);
}

void names_that_lead_elsewhere_are_refused(VaultTest& t) {
  t.put("github");
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../key"),
        std::string("a/b"), std::string("/etc/passwd"), std::string(".hidden"), std::string("-x"),
        std::string("A"), std::string("a b"), std::string("a\0b", 3), std::string("a\n"),
        std::string("\xc3\xa9"), std::string(65, 'a')}) {
    const bool as_name = t.get_error(name) == Errc::invalid;
    assert_true(as_name);
    const bool as_profile = name.empty() || t.get_error("github", name) == Errc::invalid;
    assert_true(as_profile);
    auto vault = t.open();
    const bool removed = vault.remove(name, "").has_value();
    assert_false(removed);
    const bool listed = !name.empty() && vault.names(name).has_value();
    assert_false(listed);
  }
}

void an_open_door_is_told_with_the_command_that_shuts_it(VaultTest& t) {
  t.put("github");
  const std::pair<const char*, const char*> doors[] = {
      {"", "chmod 700 "}, {"/credentials", "chmod 700 "}, {"/credentials.key", "chmod 600 "}};
  for (const auto& [name, command] : doors) {
    const std::string path = t.home + name;
    const unsigned good = t.mode(path);
    for (const unsigned bit : {040u, 020u, 04u, 01u}) {
      assert_int_equal(chmod(path.c_str(), good | bit), 0);
      const auto vault = Vault::open(t.home);
      const bool denied = !vault && vault.error().code == Errc::denied &&
                          vault.error().message.find(command + path) != std::string::npos;
      assert_true(denied);
    }
    assert_int_equal(chmod(path.c_str(), good), 0);
  }
  assert_int_equal(chmod(t.file.c_str(), 0644), 0);
  const bool denied = t.get_error("github") == Errc::denied;
  assert_true(denied);
}

void links_are_not_followed(VaultTest& t) {
  t.put("github");
  const std::string elsewhere = t.temp.path + "/elsewhere";
  assert_int_equal(rename(t.file.c_str(), elsewhere.c_str()), 0);
  assert_int_equal(symlink(elsewhere.c_str(), t.file.c_str()), 0);
  const bool denied = t.get_error("github") == Errc::denied;
  assert_true(denied);
  // Writing replaces the link, and leaves alone what it points to.
  const std::string before = need(moat::read_file(elsewhere, 4096));
  t.put("github");
  const bool same = need(moat::read_file(elsewhere, 4096)) == before;
  assert_true(same);
  const bool opens = t.get_error("github") == Errc::busy;
  assert_true(opens);

  const std::string key = t.home + "/credentials.key";
  assert_int_equal(rename(key.c_str(), elsewhere.c_str()), 0);
  assert_int_equal(symlink(elsewhere.c_str(), key.c_str()), 0);
  const bool key_denied = t.open_error() == Errc::denied;
  assert_true(key_denied);
}

void a_fifo_or_directory_for_a_key_hangs_nobody(VaultTest& t) {
  t.put("github");
  const std::string key = t.home + "/credentials.key";
  unlink(key.c_str());
  assert_int_equal(mkfifo(key.c_str(), 0600), 0);
  const bool fifo = t.open_error() == Errc::denied;
  assert_true(fifo);
  unlink(key.c_str());
  assert_int_equal(mkdir(key.c_str(), 0700), 0);
  const bool directory = t.open_error() == Errc::denied;
  assert_true(directory);
}

void somebody_elses_key_is_refused(VaultTest& t) {
  if (geteuid() != 0) return;
  t.put("github");
  assert_int_equal(chown((t.home + "/credentials.key").c_str(), 65534, 65534), 0);
  const bool denied = t.open_error() == Errc::denied;
  assert_true(denied);
}

void a_key_of_another_size_is_refused(VaultTest& t) {
  t.put("github");
  for (const size_t size : {0, 31, 33}) {
    need(moat::write_file_atomically(t.home + "/credentials.key", std::string(size, 'k'), 0600));
    const bool refused = t.open_error() == Errc::tampered;
    assert_true(refused);
  }
}

void what_is_too_large_is_refused(VaultTest& t) {
  Sealed sealed;
  sealed.name = "github";
  sealed.facts = moat::Json::object();
  sealed.secret = Secret(std::string(64 * 1024 + 1, 'x'));
  auto vault = t.open();
  const auto put = vault.put(sealed);
  const bool large = !put && put.error().code == Errc::too_large;
  assert_true(large);
  sealed.secret = Secret("x");
  sealed.facts = moat::Json::array();
  const bool list = vault.put(sealed).has_value();
  assert_false(list);
}

void processes_that_start_at_once_share_one_key(VaultTest& t) {
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      int code = 1;
      try {
        t.put("c" + std::to_string(i));
        code = 0;
      } catch (const std::exception& e) {
        print_error("child: %s\n", e.what());
      }
      _exit(code);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
  }
  auto vault = t.open();
  for (const auto& name : need(vault.names(""))) {
    const bool opens = vault.get(name, "").has_value();
    assert_true(opens);
  }
  assert_int_equal(need(vault.names("")).size(), 8);
}

void every_secret_of_every_profile_is_held(VaultTest& t) {
  t.put("github");
  t.put("other", "", "second-secret");
  t.put("github", "work", "third-secret");
  t.put("github", "home", "fourth-secret");
  const auto held = need(Vault::held(t.home));
  std::vector<std::string> found;
  for (const Secret& secret : held.secrets) found.emplace_back(secret.reveal());
  std::sort(found.begin(), found.end());
  const std::vector<std::string> wanted = {"fourth-secret", std::string(token), "second-secret",
                                           "third-secret"};
  assert_true(found == wanted);
  assert_true(held.closed.empty());
}

void one_that_does_not_open_hides_no_other(VaultTest& t) {
  t.put("github");
  t.put("other", "", "second-secret");
  auto bytes = need(moat::read_file(t.file, 4096));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  need(moat::write_file_atomically(t.file, bytes, 0600));
  const auto held = need(Vault::held(t.home));
  assert_int_equal(held.secrets.size(), 1);
  assert_int_equal(held.closed.size(), 1);
  assert_true(held.closed[0].code == Errc::tampered);
}

void where_there_is_no_vault_none_is_made(VaultTest& t) {
  assert_true(need(Vault::held(t.home)).secrets.empty());
  assert_int_equal(t.mode(t.home), 0);
}

void a_vault_that_is_open_to_others_holds_nothing_for_us(VaultTest& t) {
  t.put("github");
  chmod((t.home + "/credentials").c_str(), 0755);
  const auto held = Vault::held(t.home);
  assert_true(!held && held.error().code == Errc::denied);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(VaultTest, what_is_put_comes_back),
      MOAT_TEST(VaultTest, secrets_of_any_bytes_are_kept),
      MOAT_TEST(VaultTest, neither_secret_nor_facts_can_be_read_in_the_file),
      MOAT_TEST(VaultTest, all_is_for_the_owner_only),
      MOAT_TEST(VaultTest, profiles_are_apart),
      MOAT_TEST(VaultTest, names_are_listed_in_order),
      MOAT_TEST(VaultTest, what_is_removed_is_gone),
      MOAT_TEST(VaultTest, any_changed_byte_is_noticed),
      MOAT_TEST(VaultTest, any_cut_is_noticed),
      MOAT_TEST(VaultTest, a_file_moved_to_another_name_or_profile_does_not_open),
      MOAT_TEST(VaultTest, another_key_does_not_open),
      MOAT_TEST(VaultTest, names_that_lead_elsewhere_are_refused),
      MOAT_TEST(VaultTest, an_open_door_is_told_with_the_command_that_shuts_it),
      MOAT_TEST(VaultTest, links_are_not_followed),
      MOAT_TEST(VaultTest, a_fifo_or_directory_for_a_key_hangs_nobody),
      MOAT_TEST(VaultTest, somebody_elses_key_is_refused),
      MOAT_TEST(VaultTest, a_key_of_another_size_is_refused),
      MOAT_TEST(VaultTest, what_is_too_large_is_refused),
      MOAT_TEST(VaultTest, processes_that_start_at_once_share_one_key),
      MOAT_TEST(VaultTest, every_secret_of_every_profile_is_held),
      MOAT_TEST(VaultTest, one_that_does_not_open_hides_no_other),
      MOAT_TEST(VaultTest, where_there_is_no_vault_none_is_made),
      MOAT_TEST(VaultTest, a_vault_that_is_open_to_others_holds_nothing_for_us),
  };
  return cmocka_run_group_tests_name("store/vault", tests, nullptr, nullptr);
}
