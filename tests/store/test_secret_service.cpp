// With a secret-tool of the test's own. tests/e2e/test_vault.py has the real one, and a real
// service.
#include "store/secret_service.h"

#include <sys/stat.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "core/fd.h"
#include "core/json.h"
#include "core/loop.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/vault.h"

namespace {

using namespace moat;
using namespace moat::store;
using moat::test::need;
using moat::test::one;

// Behaves as secret-tool of libsecret 0.20.5 does, what it says included. `state` is "locked", or
// "gone", or a file in which it is asked to wait for somebody. Its arguments are kept.
constexpr std::string_view tool = R"sh(#!/bin/sh
cd "$(dirname "$0")/.." || exit 9
echo "$@" >>arguments
for name; do :; done
case $(cat state 2>/dev/null) in
gone) echo "secret-tool: Cannot autolaunch D-Bus without X11 \$DISPLAY" >&2; exit 1 ;;
locked)
	case $1 in
	store) echo "secret-tool: Cannot create an item in a locked collection" >&2; exit 1 ;;
	search) [ -e "items/$name" ] && echo "label = it" ; exit 0 ;;
	esac
	exit 1 ;;
forgetful) [ "$1" = store ] && exit 0 ;;
esac
case $1 in
store) mkdir -p items; cat >"items/$name" ;;
lookup) cat "items/$name" 2>/dev/null ;;
search) [ -e "items/$name" ] && { echo "label = it"; echo "secret = $(cat "items/$name")"; } ;;
clear) rm "items/$name" 2>/dev/null ;;
esac
)sh";

struct ServiceTest {
  moat::test::TempDir temp;
  std::string home = temp.path + "/home";
  std::string path = getenv("PATH");
  Loop loop;
  const std::string name = "moat:0123456789abcdef";

  ServiceTest() {
    if (mkdir((temp.path + "/bin").c_str(), 0700) != 0) throw std::runtime_error("mkdir");
    need(write_file_atomically(temp.path + "/bin/secret-tool", std::string(tool), 0700));
    setenv("PATH", (temp.path + "/bin:" + path).c_str(), 1);
  }
  ~ServiceTest() { setenv("PATH", path.c_str(), 1); }
  void become(const std::string& state) {
    need(write_file_atomically(temp.path + "/state", state, 0600));
  }
  std::string item(const std::string& of) { return temp.path + "/items/" + of; }
  static KeyAccess access(KeySource wanted) {
    KeyAccess access;
    access.wanted = wanted;
    return access;
  }
  Vault vault_with_one(KeySource source) {
    Vault vault = need(Vault::open(home, access(source)));
    put(vault);
    return vault;
  }
  static Result<void> try_to_put(Vault& vault, const std::string& secret = "token") {
    Sealed sealed;
    sealed.name = "github";
    sealed.facts = one("provider", "github");
    sealed.secret = Secret(secret);
    return vault.put(sealed);
  }
  static void put(Vault& vault) { need(try_to_put(vault)); }
  Error refusal() {
    const auto vault = Vault::open(home, access(KeySource::secret_service));
    return vault ? Error{Errc::exists, "it opened"} : vault.error();
  }
};

bool says(const Error& error, const char* words) {
  return error.message.find(words) != std::string::npos;
}

void what_is_kept_comes_back_and_goes(ServiceTest& t) {
  const Secret secret(std::string("\0\n key", 6));
  need(put_into_secret_service(t.name, secret));
  assert_true(need(get_from_secret_service(t.name, 6)).equals(secret.reveal()));
  need(remove_from_secret_service(t.name));
  const auto gone = get_from_secret_service(t.name, 6);
  assert_true(!gone && gone.error().code == Errc::not_found);
  need(remove_from_secret_service(t.name));
}

void no_secret_is_among_the_arguments(ServiceTest& t) {
  need(put_into_secret_service(t.name, Secret("open sesame")));
  const std::string said = need(read_file(t.temp.path + "/arguments", 4096));
  assert_true(said.find("application moat key " + t.name) != std::string::npos);
  assert_true(said.find(hex("open sesame")) == std::string::npos);
  assert_true(said.find("sesame") == std::string::npos);
}

void what_is_wrong_is_told_apart(ServiceTest& t) {
  const Secret secret("0123");
  need(put_into_secret_service(t.name, secret));
  t.become("locked");
  auto got = get_from_secret_service(t.name, 4);
  assert_true(!got && got.error().code == Errc::refused && says(got.error(), "is locked: unlock"));
  got = get_from_secret_service("moat:other", 4);
  assert_true(!got && got.error().code == Errc::not_found);
  auto put = put_into_secret_service("moat:other", secret);
  assert_true(!put && says(put.error(), "locked collection"));
  t.become("gone");
  got = get_from_secret_service(t.name, 4);
  assert_true(!got && got.error().code == Errc::refused && says(got.error(), "autolaunch"));
  assert_true(says(got.error(), "DBUS_SESSION_BUS_ADDRESS"));
  t.become("");
  for (const char* other : {"", "zz", "3031323", "303132", "3031323334"}) {
    need(write_file_atomically(t.item(t.name), other, 0600));
    got = get_from_secret_service(t.name, 4);
    assert_true(!got && got.error().code == Errc::tampered);
  }
  setenv("PATH", "/nowhere", 1);
  got = get_from_secret_service(t.name, 4);
  assert_true(!got && says(got.error(), "libsecret-tools"));
}

// A key that is lost would take everything with it.
void what_is_not_given_back_is_not_kept(ServiceTest& t) {
  t.become("forgetful");
  assert_true(t.refusal().code == Errc::not_found);
  struct stat info {};
  assert_int_equal(stat((t.home + "/credentials.key").c_str(), &info), -1);
}

void a_vault_has_its_key_there(ServiceTest& t) {
  const auto made = t.vault_with_one(KeySource::secret_service);
  const auto record = need(read_key_record(t.home + "/credentials.key"));
  assert_true(record.source == KeySource::secret_service);
  need(read_file(t.item(record.name), 4096));
  auto again = need(Vault::open(t.home, t.access(KeySource::secret_service)));
  assert_true(need(again.get("github", "")).secret.equals("token"));
  t.become("locked");
  assert_true(t.refusal().code == Errc::refused);
  t.become("");
  need(write_file_atomically(t.item(record.name), std::string(64, 'a'), 0600));
  assert_true(t.refusal().code == Errc::tampered);
  need(remove_from_secret_service(record.name));
  assert_true(says(t.refusal(), "grant again"));
}

void the_key_moves_there_and_away(ServiceTest& t) {
  (void)t.vault_with_one(KeySource::file);
  for (const KeySource to : {KeySource::secret_service, KeySource::secret_service, KeySource::file,
                             KeySource::secret_service}) {
    const auto before = need(read_key_record(t.home + "/credentials.key"));
    assert_int_equal(need(Vault::rekey(t.home, t.access(to))), 1);
    auto vault = need(Vault::open(t.home, t.access(to)));
    assert_true(need(vault.get("github", "")).secret.equals("token"));
    if (before.source != KeySource::secret_service) continue;
    struct stat info {};
    assert_int_equal(stat(t.item(before.name).c_str(), &info), -1);
  }
  // Where it cannot be kept, all stays as it is.
  t.become("locked");
  const std::string before = need(read_file(t.home + "/credentials.key", 4096));
  const auto changed = Vault::rekey(t.home, t.access(KeySource::secret_service));
  assert_true(!changed && changed.error().code == Errc::refused);
  assert_string_equal(need(read_file(t.home + "/credentials.key", 4096)).c_str(), before.c_str());
}

// A run that lives must not wait, and must not be kept from writing for good.
void a_vault_in_use_is_told_of_the_new_key_later(ServiceTest& t) {
  auto vault = t.vault_with_one(KeySource::file);
  vault.serve_on(&t.loop, Milliseconds(0));
  need(Vault::rekey(t.home, t.access(KeySource::secret_service)));
  auto put = t.try_to_put(vault, "newer");
  assert_true(!put && put.error().code == Errc::busy);
  const auto got = vault.get("github", "");
  assert_true(!got && got.error().code == Errc::busy);
  assert_true(
      moat::test::turn_until(t.loop, [&] { return t.try_to_put(vault, "newer").has_value(); }));
  auto other = need(Vault::open(t.home, t.access(KeySource::secret_service)));
  assert_true(need(other.get("github", "")).secret.equals("newer"));

  // What keeps it from being told is told, and tried again.
  need(Vault::rekey(t.home, t.access(KeySource::secret_service)));
  t.become("locked");
  Errc code = Errc::busy;
  assert_true(moat::test::turn_until(t.loop, [&] {
    const auto refused = t.try_to_put(vault);
    code = refused ? Errc::exists : refused.error().code;
    return code != Errc::busy;
  }));
  assert_true(code == Errc::denied);
  t.become("");
  assert_true(
      moat::test::turn_until(t.loop, [&] { return t.try_to_put(vault, "newest").has_value(); }));
  // A question under way is given up with the loop.
  need(Vault::rekey(t.home, t.access(KeySource::secret_service)));
  put = t.try_to_put(vault);
  assert_true(!put && put.error().code == Errc::busy);
  vault.serve_on(nullptr);
  need(t.try_to_put(vault));  // which waits
}

// Each question may open a window before somebody's eyes.
void a_service_that_refuses_is_not_asked_all_the_time(ServiceTest& t) {
  auto vault = t.vault_with_one(KeySource::file);
  vault.serve_on(&t.loop);
  need(Vault::rekey(t.home, t.access(KeySource::secret_service)));
  t.become("locked");
  const auto refused = [&] {
    const auto put = t.try_to_put(vault);
    return !put && put.error().code == Errc::denied;
  };
  assert_true(moat::test::turn_until(t.loop, refused));
  const std::string asked = need(read_file(t.temp.path + "/arguments", 4096));
  for (int i = 0; i < 20; ++i) {
    assert_true(refused());
    t.loop.turn(Milliseconds(1));
  }
  assert_string_equal(need(read_file(t.temp.path + "/arguments", 4096)).c_str(), asked.c_str());
  vault.serve_on(nullptr);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ServiceTest, what_is_kept_comes_back_and_goes),
      MOAT_TEST(ServiceTest, no_secret_is_among_the_arguments),
      MOAT_TEST(ServiceTest, what_is_wrong_is_told_apart),
      MOAT_TEST(ServiceTest, what_is_not_given_back_is_not_kept),
      MOAT_TEST(ServiceTest, a_vault_has_its_key_there),
      MOAT_TEST(ServiceTest, the_key_moves_there_and_away),
      MOAT_TEST(ServiceTest, a_vault_in_use_is_told_of_the_new_key_later),
      MOAT_TEST(ServiceTest, a_service_that_refuses_is_not_asked_all_the_time),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
