#include "store/vault_key.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/crypto.h"
#include "core/fd.h"
#include "core/text.h"
#include "fixture.h"
#include "moat_test.h"
#include "store/kernel_keyring.h"
#include "store/vault.h"

namespace {

using namespace moat;
using namespace moat::store;
using moat::test::need;
using moat::test::one;

constexpr std::string_view token = "ghp_0123456789abcdefghijklmnop";

struct KeyTest {
  moat::test::TempDir temp;
  std::string home = temp.path + "/home";
  std::string key_file = home + "/credentials.key";
  std::string passphrase = "correct horse";
  std::string new_passphrase = "battery staple";
  std::vector<PassphraseFor> asked;

  ~KeyTest() {
    // What a test has put into the keyring of whoever runs it.
    for (const std::string& path : {key_file, key_file + ".new"}) {
      if (const auto record = read_key_record(path)) forget_key(*record);
    }
  }
  KeyAccess access(std::optional<KeySource> wanted = {}) {
    KeyAccess access;
    access.wanted = wanted;
    access.passphrase = [this](PassphraseFor what) -> Result<Secret> {
      asked.push_back(what);
      return Secret(what == PassphraseFor::opening ? passphrase : new_passphrase);
    };
    return access;
  }
  void put(Vault& vault, const std::string& name, const std::string& profile = "") {
    Sealed sealed;
    sealed.name = name;
    sealed.profile = profile;
    sealed.facts = one("provider", "github");
    sealed.secret = Secret(std::string(token) + name + profile);
    need(vault.put(sealed));
  }
  // With three credentials.
  void make(KeySource source) {
    new_passphrase.swap(passphrase);  // the one that is chosen
    auto vault = need(Vault::open(home, access(source)));
    new_passphrase.swap(passphrase);
    put(vault, "github");
    put(vault, "other");
    put(vault, "github", "work");
    asked.clear();
  }
  // Do all three open, with what is right?
  bool opens(const KeyAccess& how) {
    auto vault = Vault::open(home, how);
    if (!vault) return false;
    const auto held = vault->held();
    return held && held->closed.empty() && held->secrets.size() == 3 &&
           need(vault->get("github", "work")).secret.equals(std::string(token) + "githubwork");
  }
  Error refusal(const KeyAccess& how) {
    const auto vault = Vault::open(home, how);
    return vault ? Error{Errc::exists, "it opened"} : vault.error();
  }
  void write_key(const std::string& text) { need(write_file_atomically(key_file, text, 0600)); }
  // A key file with one member changed.
  void change(const std::string& member, Json value) {
    auto json = need(Json::parse(need(read_file(key_file, 4096))));
    json.set(member, std::move(value));
    write_key(json.text());
  }
};

bool has_keyring() {
  const std::string name = "moat:test-" + hex(random_bytes(4));
  const bool works = put_into_keyring(name, Secret("x")).has_value();
  if (works) need(remove_from_keyring(name));
  if (!works) print_message("no keyring here: not tested\n");
  return works;
}

void a_file_needs_nobody(KeyTest& t) {
  t.make(KeySource::file);
  assert_true(t.opens({}));
  assert_true(t.opens(t.access(KeySource::file)));
  assert_true(t.asked.empty());
}

void a_passphrase_opens_and_another_does_not(KeyTest& t) {
  t.make(KeySource::passphrase);
  assert_true(t.opens(t.access()));
  assert_int_equal(t.asked.size(), 1);
  t.passphrase = "incorrect horse";
  assert_true(t.refusal(t.access()).code == Errc::refused);
  t.passphrase = "";
  assert_true(t.refusal(t.access()).code == Errc::refused);
  // Nobody to ask.
  assert_true(t.refusal({}).code == Errc::refused);
}

void neither_key_nor_passphrase_is_in_the_file(KeyTest& t) {
  t.make(KeySource::passphrase);
  const std::string text = need(read_file(t.key_file, 4096));
  assert_true(text.find("horse") == std::string::npos);
  struct stat info {};
  assert_int_equal(stat(t.key_file.c_str(), &info), 0);
  assert_int_equal(info.st_mode & 07777, 0600);
}

void a_changed_cost_salt_or_seal_is_refused(KeyTest& t) {
  t.make(KeySource::passphrase);
  const std::string good = need(read_file(t.key_file, 4096));
  const auto json = need(Json::parse(good));
  const auto refused = [&](const char* member, Json value) {
    t.write_key(good);
    t.change(member, std::move(value));
    const Errc code = t.refusal(t.access()).code;
    return code == Errc::refused || code == Errc::tampered || code == Errc::invalid ||
           code == Errc::unsupported;
  };
  std::string sealed = json["sealed"].string();
  sealed[0] = sealed[0] == '0' ? '1' : '0';
  std::string salt = json["salt"].string();
  salt[0] = salt[0] == '0' ? '1' : '0';
  assert_true(refused("sealed", sealed));
  assert_true(refused("sealed", sealed.substr(2)));
  assert_true(refused("salt", salt));
  assert_true(refused("salt", ""));
  assert_true(refused("salt", std::string(2000, '0')));
  assert_true(refused("work", 16));
  assert_true(refused("work", -1));
  assert_true(refused("kdf", "md5"));
  assert_true(refused("source", "file"));
  assert_true(refused("source", "keyring"));
  assert_true(refused("version", 2));
  for (size_t size = 0; size < good.size() - 2; size += 7) {
    t.write_key(good.substr(0, size));
    assert_false(t.opens(t.access()));
  }
}

// Hours, and all of the memory, are what a hostile file would ask for.
void a_cost_out_of_bounds_takes_no_time(KeyTest& t) {
  t.make(KeySource::passphrase);
  for (const int work : {1, 13, 19, 30, 63, 999'999'999}) {
    t.change("work", work);
    assert_true(t.refusal(t.access()).code == Errc::invalid);
  }
  t.change("kdf", "pbkdf2-sha512");
  assert_true(t.refusal(t.access()).code == Errc::invalid);
}

void a_keyring_keeps_it_in_memory(KeyTest& t) {
  if (!has_keyring()) return;
  t.make(KeySource::keyring);
  assert_true(t.opens({}));
  const auto record = need(read_key_record(t.key_file));
  assert_true(record.source == KeySource::keyring);
  // As after a restart.
  need(remove_from_keyring(record.name));
  const Error lost = t.refusal({});
  assert_true(lost.code == Errc::not_found);
  assert_true(lost.message.find("grant again") != std::string::npos);
}

void another_key_in_the_keyring_is_noticed(KeyTest& t) {
  if (!has_keyring()) return;
  t.make(KeySource::keyring);
  const auto record = need(read_key_record(t.key_file));
  need(put_into_keyring(record.name, Secret(std::string(32, 'x'))));
  assert_true(t.refusal({}).code == Errc::tampered);
  need(put_into_keyring(record.name, Secret("short")));
  assert_true(t.refusal({}).code == Errc::tampered);
  need(put_into_keyring(record.name, Secret(std::string(33, 'x'))));
  assert_true(t.refusal({}).code == Errc::too_large);
  need(put_into_keyring(record.name, Secret(std::string(32, 'x'))));
  t.change("name", "user:of-something-else");
  assert_true(t.refusal({}).code == Errc::tampered);
  t.change("name", record.name);  // for it to be taken out again
}

void a_key_that_is_elsewhere_than_wanted_is_refused(KeyTest& t) {
  t.make(KeySource::file);
  const Error refusal = t.refusal(t.access(KeySource::passphrase));
  assert_true(refusal.code == Errc::denied);
  assert_true(refusal.message.find("moat grant rekey") != std::string::npos);
  assert_true(t.asked.empty());
}

void each_source_gives_way_to_each_other(KeyTest& t) {
  const bool keyring = has_keyring();
  t.make(KeySource::file);
  const KeySource order[] = {KeySource::passphrase, KeySource::file,    KeySource::keyring,
                             KeySource::passphrase, KeySource::keyring, KeySource::file};
  for (const KeySource to : order) {
    if (to == KeySource::keyring && !keyring) continue;
    const auto before = need(read_key_record(t.key_file));
    t.new_passphrase = t.passphrase;
    assert_int_equal(need(Vault::rekey(t.home, t.access(to))), 3);
    assert_true(t.opens(t.access(to)));
    if (before.source == KeySource::keyring) {
      const bool gone = !get_from_keyring(before.name, 32);
      assert_true(gone);
    }
  }
}

void a_passphrase_is_changed(KeyTest& t) {
  t.make(KeySource::passphrase);
  assert_int_equal(need(Vault::rekey(t.home, t.access())), 3);
  assert_true(t.refusal(t.access()).code == Errc::refused);
  t.passphrase = t.new_passphrase;
  assert_true(t.opens(t.access()));
}

void what_was_sealed_before_does_not_open_with_the_new_key(KeyTest& t) {
  t.make(KeySource::file);
  const std::string path = t.home + "/credentials/github.enc";
  const std::string before = need(read_file(path, 4096));
  need(Vault::rekey(t.home, {}));
  need(write_file_atomically(path, before, 0600));
  auto vault = need(Vault::open(t.home));
  const auto got = vault.get("github", "");
  assert_true(!got && got.error().code == Errc::tampered);
}

void one_that_does_not_open_keeps_the_key_as_it_is(KeyTest& t) {
  t.make(KeySource::file);
  const std::string key = need(read_file(t.key_file, 4096));
  const std::string path = t.home + "/credentials/other.enc";
  const std::string good = need(read_file(path, 4096));
  std::string bad = good;
  bad.back() = static_cast<char>(bad.back() ^ 1);
  need(write_file_atomically(path, bad, 0600));
  const auto changed = Vault::rekey(t.home, t.access(KeySource::passphrase));
  assert_true(!changed && changed.error().code == Errc::tampered);
  assert_string_equal(hex(need(read_file(t.key_file, 4096))).c_str(), hex(key).c_str());
  need(write_file_atomically(path, good, 0600));
  assert_true(t.opens({}));
}

// A vault that was open before has the old key: nothing may be sealed with it any more.
void who_has_the_old_key_goes_on_with_the_new(KeyTest& t) {
  const bool keyring = has_keyring();
  t.make(KeySource::file);
  for (const KeySource to : {KeySource::file, KeySource::keyring}) {
    if (to == KeySource::keyring && !keyring) continue;
    auto writer = need(Vault::open(t.home));
    auto reader = need(Vault::open(t.home));
    need(Vault::rekey(t.home, t.access(to)));
    t.put(writer, "other");
    assert_true(need(reader.get("other", "")).secret.equals(std::string(token) + "other"));
    assert_true(t.opens({}));
  }
}

void a_new_passphrase_is_not_asked_for_in_the_middle(KeyTest& t) {
  t.make(KeySource::file);
  auto vault = need(Vault::open(t.home, t.access()));
  need(Vault::rekey(t.home, t.access(KeySource::passphrase)));
  t.asked.clear();
  Sealed sealed;
  sealed.name = "github";
  sealed.facts = Json::object();
  const auto put = vault.put(sealed);
  assert_true(!put && put.error().code == Errc::denied);
  assert_true(put.error().message.find("new passphrase") != std::string::npos);
  const auto got = vault.get("github", "");
  assert_true(!got && got.error().code == Errc::denied);
  assert_true(t.asked.empty());
  t.passphrase = t.new_passphrase;
  assert_true(t.opens(t.access()));
}

// What was changed is told as that, even where the key was changed too.
void the_new_key_does_not_open_what_was_changed(KeyTest& t) {
  t.make(KeySource::file);
  auto vault = need(Vault::open(t.home));
  need(Vault::rekey(t.home, {}));
  const std::string path = t.home + "/credentials/github.enc";
  std::string bytes = need(read_file(path, 4096));
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  need(write_file_atomically(path, bytes, 0600));
  const auto got = vault.get("github", "");
  assert_true(!got && got.error().code == Errc::tampered);
}

void nobody_uses_a_vault_whose_key_is_being_changed(KeyTest& t) {
  t.make(KeySource::file);
  auto vault = need(Vault::open(t.home));
  const Fd lock(open((t.home + "/credentials").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  assert_int_equal(flock(lock.get(), LOCK_EX), 0);
  Sealed sealed;
  sealed.name = "github";
  sealed.facts = Json::object();
  const auto put = vault.put(sealed);
  assert_true(!put && put.error().code == Errc::busy);
  assert_true(t.refusal({}).code == Errc::busy);
  const auto other = Vault::rekey(t.home, {});
  assert_true(!other && other.error().code == Errc::busy);
  flock(lock.get(), LOCK_UN);
  assert_true(t.opens({}));
}

void an_interrupted_change_is_told_and_goes_on(KeyTest& t) {
  t.make(KeySource::file);
  // As if killed when one of the three had been sealed.
  const std::string old_key = need(read_file(t.key_file, 4096));
  const std::string others[] = {t.home + "/credentials/other.enc",
                                t.home + "/credentials/profiles/work/github.enc"};
  std::vector<std::string> kept;
  for (const std::string& path : others) kept.push_back(need(read_file(path, 4096)));
  need(Vault::rekey(t.home, t.access(KeySource::passphrase)));
  assert_int_equal(rename(t.key_file.c_str(), (t.key_file + ".new").c_str()), 0);
  t.write_key(old_key);
  for (size_t i = 0; i < 2; ++i) need(write_file_atomically(others[i], kept[i], 0600));

  const Error refusal = t.refusal(t.access());
  assert_true(refusal.code == Errc::busy);
  assert_true(refusal.message.find("moat grant rekey") != std::string::npos);
  t.asked.clear();
  assert_int_equal(need(Vault::rekey(t.home, t.access())), 3);
  assert_int_equal(t.asked.size(), 1);
  assert_true(t.asked[0] == PassphraseFor::finishing);
  t.passphrase = t.new_passphrase;
  assert_true(t.opens(t.access()));
}

void killed_at_any_moment_it_loses_nothing(KeyTest& t) {
  t.make(KeySource::file);
  for (int i = 0; i < 40; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(Vault::rekey(t.home, {}) ? 0 : 1);
    usleep(static_cast<useconds_t>(150 * i));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    // Either it opens, or it says what to do, and then that helps.
    const Error refusal = t.refusal({});
    if (refusal.code == Errc::busy) need(Vault::rekey(t.home, {}));
    assert_true(t.opens({}));
  }
}

void a_credential_of_the_first_version_still_opens(KeyTest& t) {
  t.make(KeySource::file);
  const Secret key(need(read_file(t.key_file, 4096)));
  std::string text("\0\0\0\x09", 4);
  text += R"({"a":"b"})";
  text += token;
  const std::string path = t.home + "/credentials/github.enc";
  const auto seal = [&](const std::string& aad, char form) {
    need(write_file_atomically(path,
                               std::string("moat-sealed") + form +
                                   need(seal_aes256gcm(key, text, aad + '\0' + '\0' + "github")),
                               0600));
    auto vault = need(Vault::open(t.home));
    auto got = vault.get("github", "");
    return got && got->secret.equals(token) && got->refresh_token.empty();
  };
  assert_true(seal("moat credential v1", 1));
  // What says it is of another version than it was sealed as.
  assert_false(seal("moat credential v1", 2));
  assert_false(seal("moat credential v2", 1));
  assert_false(seal("moat credential v2", 2));  // no third part
}

void a_refresh_token_is_kept_beside_the_secret(KeyTest& t) {
  t.make(KeySource::file);
  auto vault = need(Vault::open(t.home));
  Sealed sealed;
  sealed.name = "claude";
  sealed.facts = one("provider", "claude");
  sealed.secret = Secret("access");
  sealed.refresh_token = Secret("refresh");
  need(vault.put(sealed));
  const auto got = need(vault.get("claude", ""));
  assert_true(got.secret.equals("access"));
  assert_true(got.refresh_token.equals("refresh"));
  assert_int_equal(need(vault.held()).secrets.size(), 5);
}

void a_key_file_that_is_none_is_refused(KeyTest& t) {
  t.make(KeySource::file);
  for (const char* text :
       {"{", "{}", "[]", "null", R"({"version":1})", R"({"source":"keyring", "version":1})",
        R"({"version":1,"source":"keyring","name":"moat:"})",
        R"({"version":1,"source":"keyring","name":"moat:zzzzzzzzzzzzzzzz"})",
        R"({"version":1,"source":"passphrase"})"}) {
    t.write_key(text);
    const Errc code = t.refusal(t.access()).code;
    assert_true(code == Errc::tampered || code == Errc::unsupported);
  }
  t.write_key(std::string(5000, '{'));
  assert_true(t.refusal(t.access()).code == Errc::tampered);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(KeyTest, a_file_needs_nobody),
      MOAT_TEST(KeyTest, a_passphrase_opens_and_another_does_not),
      MOAT_TEST(KeyTest, neither_key_nor_passphrase_is_in_the_file),
      MOAT_TEST(KeyTest, a_changed_cost_salt_or_seal_is_refused),
      MOAT_TEST(KeyTest, a_cost_out_of_bounds_takes_no_time),
      MOAT_TEST(KeyTest, a_keyring_keeps_it_in_memory),
      MOAT_TEST(KeyTest, another_key_in_the_keyring_is_noticed),
      MOAT_TEST(KeyTest, a_key_that_is_elsewhere_than_wanted_is_refused),
      MOAT_TEST(KeyTest, each_source_gives_way_to_each_other),
      MOAT_TEST(KeyTest, a_passphrase_is_changed),
      MOAT_TEST(KeyTest, what_was_sealed_before_does_not_open_with_the_new_key),
      MOAT_TEST(KeyTest, one_that_does_not_open_keeps_the_key_as_it_is),
      MOAT_TEST(KeyTest, who_has_the_old_key_goes_on_with_the_new),
      MOAT_TEST(KeyTest, a_new_passphrase_is_not_asked_for_in_the_middle),
      MOAT_TEST(KeyTest, the_new_key_does_not_open_what_was_changed),
      MOAT_TEST(KeyTest, nobody_uses_a_vault_whose_key_is_being_changed),
      MOAT_TEST(KeyTest, an_interrupted_change_is_told_and_goes_on),
      MOAT_TEST(KeyTest, killed_at_any_moment_it_loses_nothing),
      MOAT_TEST(KeyTest, a_credential_of_the_first_version_still_opens),
      MOAT_TEST(KeyTest, a_refresh_token_is_kept_beside_the_secret),
      MOAT_TEST(KeyTest, a_key_file_that_is_none_is_refused),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
