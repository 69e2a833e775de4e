#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <string>
#include <vector>

#include "core/fd.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/note.h"
#include "store/vault.h"

namespace {

using moat::Errc;
using moat::store::open_signing_key;
using moat::store::read_public_key;
using moat::test::need;

struct KeyTest {
  moat::test::TempDir temp;
  std::string home = temp.path + "/home";
  std::string pem = home + "/audit/key.pem";
  std::string pub = home + "/audit/key.pub";

  std::string der() { return need(open_signing_key(home)).public_der(); }
  Errc problem() {
    const auto key = open_signing_key(home);
    return key ? Errc::busy : key.error().code;  // busy: not one that it gives
  }
  unsigned mode(const std::string& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777u : 0;
  }
};

void the_key_is_made_once_and_then_kept(KeyTest& t) {
  const std::string first = t.der();
  const bool same = t.der() == first;
  assert_true(same);
  const bool fits = need(moat::public_key_der(need(read_public_key(t.home)))) == first;
  assert_true(fits);
}

void the_private_half_is_for_the_owner_only(KeyTest& t) {
  const mode_t before = umask(0);
  t.der();
  umask(before);
  assert_int_equal(t.mode(t.pem), 0600);
  assert_int_equal(t.mode(t.pub), 0644);
  assert_int_equal(t.mode(t.home + "/audit"), 0700);
  assert_int_equal(chmod(t.pem.c_str(), 0640), 0);
  const bool denied = t.problem() == Errc::denied;
  assert_true(denied);
}

void a_public_half_that_does_not_fit_is_told(KeyTest& t) {
  t.der();
  const std::string other = need(moat::SigningKey::generate()).public_pem();
  need(moat::write_file_atomically(t.pub, other, 0644));
  const bool tampered = t.problem() == Errc::tampered;
  assert_true(tampered);
  need(moat::write_file_atomically(t.pub, "nonsense", 0644));
  const bool still = t.problem() == Errc::tampered;
  assert_true(still);
}

void a_missing_public_half_is_made_again(KeyTest& t) {
  const std::string first = t.der();
  unlink(t.pub.c_str());
  const bool same = t.der() == first && access(t.pub.c_str(), F_OK) == 0;
  assert_true(same);
}

void a_lost_private_half_is_not_quietly_replaced(KeyTest& t) {
  t.der();
  unlink(t.pem.c_str());
  const bool told = t.problem() == Errc::not_found;
  assert_true(told);
  const bool made = access(t.pem.c_str(), F_OK) == 0;
  assert_false(made);
}

void a_private_half_that_is_no_key_is_told(KeyTest& t) {
  t.der();
  need(moat::write_file_atomically(t.pem, "nonsense", 0600));
  const bool told = t.problem() == Errc::invalid;
  assert_true(told);
}

void no_public_key_is_not_found(KeyTest& t) {
  const auto none = read_public_key(t.home);
  const bool told = !none && none.error().code == Errc::not_found;
  assert_true(told);
}

void processes_that_start_at_once_share_one_key(KeyTest& t) {
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      int code = 1;
      try {
        need(moat::write_file_atomically(t.temp.path + "/" + std::to_string(i), t.der(), 0600));
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
  const std::string der = t.der();
  for (int i = 0; i < 8; ++i) {
    const bool same = need(moat::read_file(t.temp.path + "/" + std::to_string(i), 4096)) == der;
    assert_true(same);
  }
}

void a_changed_key_leaves_its_public_half(KeyTest& t) {
  const std::string first = t.der();
  const std::string second = need(moat::store::rotate_signing_key(t.home)).public_der();
  const bool changed = second != first && t.der() == second;
  assert_true(changed);
  const std::string third = need(moat::store::rotate_signing_key(t.home)).public_der();
  std::set<std::string> keys;
  for (const std::string& pem : need(moat::store::read_public_keys(t.home)))
    keys.insert(need(moat::public_key_der(pem)));
  const bool all = keys == std::set<std::string>{first, second, third};
  assert_true(all);
  const auto present = need(moat::store::read_public_keys(t.home)).front();
  const bool first_is_present = need(moat::public_key_der(present)) == third;
  assert_true(first_is_present);
  assert_int_equal(t.mode(t.pem), 0600);
  assert_int_equal(t.mode(t.home + "/audit/old"), 0700);
}

// The private half has been replaced, the public one not yet.
void an_unfinished_change_is_finished(KeyTest& t) {
  t.der();
  const std::string old_public = need(read_public_key(t.home));
  const std::string second = need(moat::store::rotate_signing_key(t.home)).public_der();
  need(moat::write_file_atomically(t.pub, old_public, 0644));
  const bool finished =
      t.der() == second && need(moat::public_key_der(need(read_public_key(t.home)))) == second;
  assert_true(finished);
}

void a_key_that_nobody_put_away_is_not_taken_for_old(KeyTest& t) {
  t.der();
  const auto other = need(moat::SigningKey::generate());
  need(moat::store::rotate_signing_key(t.home));
  // Under the name of the old key, but another one.
  const std::string id = moat::store::note_key_id(other.public_der());
  const std::string strange = need(moat::SigningKey::generate()).public_pem();
  need(moat::write_file_atomically(t.home + "/audit/old/" + id + ".pub", strange, 0644));
  need(moat::write_file_atomically(t.pub, other.public_pem(), 0644));
  const bool tampered = t.problem() == Errc::tampered;
  assert_true(tampered);
}

void one_change_at_a_time(KeyTest& t) {
  const std::string first = t.der();
  need(moat::store::rotate_signing_key(t.home));
  const int held = open((t.home + "/audit/old").c_str(), O_RDONLY | O_DIRECTORY);
  assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
  const auto second = moat::store::rotate_signing_key(t.home);
  close(held);
  const bool busy = !second && second.error().code == Errc::busy;
  assert_true(busy);
  const bool again = moat::store::rotate_signing_key(t.home).has_value();
  assert_true(again);
}

void a_public_half_that_is_none_is_told(KeyTest& t) {
  t.der();
  need(moat::store::rotate_signing_key(t.home));
  const auto before = need(moat::store::read_public_keys(t.home)).size();
  assert_int_equal(before, 2);
  assert_int_equal(mkdir((t.home + "/audit/old/x.pub").c_str(), 0700), 0);
  const bool told = !moat::store::read_public_keys(t.home).has_value();
  assert_true(told);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(KeyTest, the_key_is_made_once_and_then_kept),
      MOAT_TEST(KeyTest, the_private_half_is_for_the_owner_only),
      MOAT_TEST(KeyTest, a_public_half_that_does_not_fit_is_told),
      MOAT_TEST(KeyTest, a_missing_public_half_is_made_again),
      MOAT_TEST(KeyTest, a_lost_private_half_is_not_quietly_replaced),
      MOAT_TEST(KeyTest, a_private_half_that_is_no_key_is_told),
      MOAT_TEST(KeyTest, no_public_key_is_not_found),
      MOAT_TEST(KeyTest, processes_that_start_at_once_share_one_key),
      MOAT_TEST(KeyTest, a_changed_key_leaves_its_public_half),
      MOAT_TEST(KeyTest, an_unfinished_change_is_finished),
      MOAT_TEST(KeyTest, a_key_that_nobody_put_away_is_not_taken_for_old),
      MOAT_TEST(KeyTest, one_change_at_a_time),
      MOAT_TEST(KeyTest, a_public_half_that_is_none_is_told),
  };
  return cmocka_run_group_tests_name("store/signing_key", tests, nullptr, nullptr);
}
