#include "store/vault.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <initializer_list>
#include <optional>
#include <utility>

#include "core/clock.h"
#include "core/fd.h"
#include "core/handle.h"
#include "core/text.h"
#include "store/private_file.h"

namespace moat::store {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds lock_patience{2000};
constexpr Milliseconds lock_step{10};
constexpr size_t max_name = 64;
constexpr std::string_view suffix = ".enc";

// What a file may be called: one word that cannot leave its directory or hide in it.
bool is_name(std::string_view name) {
  if (name.empty() || name.size() > max_name) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool inner = c == '-' || c == '_' || c == '.' || c == ':';
    if (!plain && (!inner || i == 0)) return false;
  }
  return true;
}

Result<void> check_names(std::string_view name, std::string_view profile) {
  if (!is_name(name))
    return error(Errc::invalid,
                 "'%s' cannot be the name of a credential: use lower-case letters, digits, and "
                 "'-', '_', '.', ':' between them",
                 printable(name.substr(0, max_name)).c_str());
  if (!profile.empty() && !is_name(profile))
    return error(Errc::invalid, "'%s' cannot be the name of a profile",
                 printable(profile.substr(0, max_name)).c_str());
  return {};
}

std::string directory_of(const std::string& credentials, const std::string& profile) {
  return profile.empty() ? credentials : credentials + "/profiles/" + profile;
}

std::string file_of(const std::string& credentials, const std::string& name,
                    const std::string& profile) {
  return directory_of(credentials, profile) + "/" + name + std::string(suffix);
}

Error not_stored(const std::string& name, const std::string& profile) {
  return error(Errc::not_found, "no credential '%s' is stored%s%s%s", name.c_str(),
               profile.empty() ? "" : " in profile '", profile.c_str(), profile.empty() ? "" : "'");
}

std::string key_file_of(const std::string& home) {
  return home + "/credentials.key";
}

// The key that everything is being sealed with, while not all of it is.
std::string new_key_file_of(const std::string& home) {
  return key_file_of(home) + ".new";
}

Digest state_of(const KeyRecord& record) {
  std::string text = record.text();
  const Digest digest = sha256(text);
  wipe(text);
  return digest;
}

// Whoever uses a key shares the directory of credentials; who changes it has it alone.
Result<Fd> lock_vault(const std::string& directory, int how, Milliseconds patience) {
  Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno_error("cannot open %s", directory.c_str());
  for (Milliseconds waited{0};; waited += lock_step) {
    if (flock(fd.get(), how | LOCK_NB) == 0) return fd;
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return errno_error("cannot lock %s", directory.c_str());
    if (waited >= patience)
      return error(Errc::busy, "%s",
                   how == LOCK_EX ? "the vault is in use: try again in a moment"
                                  : "the key of the vault is being changed: try again in a moment");
    const timespec step{0, lock_step.count() * 1'000'000};
    nanosleep(&step, nullptr);
  }
}

Result<void> check_whole(const std::string& home) {
  if (access(new_key_file_of(home).c_str(), F_OK) != 0) return {};
  return error(
      Errc::busy,
      "the change of the vault's key was interrupted: run 'moat grant rekey', which goes on "
      "with it");
}

// What is in the key file; a key is made where there is none. Of several processes one makes it.
Result<KeyRecord> find_key(const std::string& path, const KeyAccess& access,
                           std::optional<Secret>& made) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto record = read_key_record(path);
    if (record || record.error().code != Errc::not_found) return record;
    auto fresh = make_key(access.wanted.value_or(KeySource::file), access);
    if (!fresh) return fresh.error();
    std::string text = fresh->record.text();
    const auto created = create_file(path, text, 0600);
    wipe(text);
    if (!created || !*created) forget_key(fresh->record);
    if (!created) return created.error();
    if (!*created) continue;
    made = std::move(fresh->key);
    return std::move(fresh->record);
  }
  return error(Errc::busy, "%s is being replaced by somebody else", path.c_str());
}

// What is called by a name of ours and this suffix; nothing where there is no such directory.
Result<std::vector<std::string>> names_in(const std::string& path, std::string_view ending) {
  std::vector<std::string> found;
  const Handle<DIR, closedir> directory(opendir(path.c_str()));
  if (!directory && errno == ENOENT) return found;
  if (!directory) return errno_error("cannot list %s", path.c_str());
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view file = entry->d_name;
    if (file.size() <= ending.size() || !file.ends_with(ending)) continue;
    const std::string_view name = file.substr(0, file.size() - ending.size());
    if (is_name(name)) found.emplace_back(name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

bool Vault::exists(const std::string& home) {
  return access(key_file_of(home).c_str(), F_OK) == 0;
}

Vault Vault::with_key(const std::string& home, const KeyRecord& record, Secret key) {
  Vault vault;
  vault.home_ = home;
  vault.directory_ = home + "/credentials";
  vault.key_ = std::move(key);
  vault.key_state_ = state_of(record);
  return vault;
}

Result<Vault> Vault::open(const std::string& home, const KeyAccess& access) {
  const std::string credentials = home + "/credentials";
  for (const std::string& directory : {home, credentials}) {
    if (auto made = make_private_directory(directory); !made) return made.error();
  }
  auto lock = lock_vault(credentials, LOCK_SH, lock_patience);
  if (!lock) return lock.error();
  if (auto whole = check_whole(home); !whole) return whole.error();
  std::optional<Secret> made;
  const std::string path = key_file_of(home);
  const auto record = find_key(path, access, made);
  if (!record) return record.error();
  if (access.wanted && *access.wanted != record->source)
    return error(
        Errc::denied,
        "the vault's key is kept by '%s', and config.yaml has '%s' for it: run 'moat grant "
        "rekey', which changes that",
        word_of(record->source), word_of(*access.wanted));
  lock->reset();
  if (made) return with_key(home, *record, std::move(*made));
  auto key = fetch_key(*record, path, access, PassphraseFor::opening);
  if (!key) return key.error();
  return with_key(home, *record, std::move(*key));
}

// A question to the Secret Service, and its answer.
struct Vault::Asked {
  Digest state{};  // of the key file that led there
  std::optional<Result<Secret>> answer;
  int64_t answered_ns = 0;
  bool told = false;  // why it is refused
  std::optional<KeyQuestion> question;
};

Vault::Vault() = default;
Vault::~Vault() = default;
Vault::Vault(Vault&& other) noexcept = default;
Vault& Vault::operator=(Vault&& other) noexcept = default;

void Vault::serve_on(Loop* loop, Milliseconds again) {
  asked_.reset();
  loop_ = loop;
  again_ = again;
}

Result<Secret> Vault::fetch_changed(const KeyRecord& record, const Digest& state) {
  if (record.source == KeySource::passphrase)
    return error(Errc::denied,
                 "the vault has got a new passphrase meanwhile, which is not asked for in the "
                 "middle of something: start again to use it");
  const std::string path = key_file_of(home_);
  if (record.source != KeySource::secret_service || loop_ == nullptr)
    return fetch_key(record, path, {}, PassphraseFor::opening);
  const int64_t now = system_clock().monotonic_ns();
  const bool known = asked_ && asked_->state == state;
  if (known && asked_->answer) {
    if (*asked_->answer) return std::move(**std::exchange(asked_, nullptr)->answer);
    const bool soon = now - asked_->answered_ns < std::chrono::nanoseconds(again_).count();
    if (!std::exchange(asked_->told, true) || soon) return asked_->answer->error();
  }
  if (!known || asked_->answer) {
    asked_ = std::make_unique<Asked>();
    asked_->state = state;
    asked_->question.emplace(*loop_, record, path, [asked = asked_.get()](Result<Secret> answer) {
      asked->answer.emplace(std::move(answer));
      asked->answered_ns = system_clock().monotonic_ns();
    });
  }
  return error(Errc::busy, "the Secret Service is being asked for the new key of the vault");
}

Result<bool> Vault::follow_key() {
  if (auto whole = check_whole(home_); !whole) return whole.error();
  const auto record = read_key_record(key_file_of(home_));
  if (!record) return record.error();
  const Digest state = state_of(*record);
  if (state == key_state_) return false;
  auto key = fetch_changed(*record, state);
  // What is refused by whom we are to ask is not the credential.
  if (!key && key.error().code == Errc::refused) return Error{Errc::denied, key.error().message};
  if (!key) return key.error();
  key_ = std::move(*key);
  key_state_ = state;
  return true;
}

Result<void> Vault::put(const Sealed& sealed) {
  if (auto good = check_names(sealed.name, sealed.profile); !good) return good;
  const auto lock = lock_vault(directory_, LOCK_SH, Milliseconds(0));
  if (!lock) return lock.error();
  if (auto followed = follow_key(); !followed) return followed.error();
  return write(sealed);
}

Result<void> Vault::write(const Sealed& sealed) const {
  const auto bytes = seal(key_, sealed);
  if (!bytes) return bytes.error();
  if (!sealed.profile.empty()) {
    for (const std::string& directory :
         {directory_ + "/profiles", directory_of(directory_, sealed.profile)}) {
      if (auto made = make_private_directory(directory); !made) return made;
    }
  }
  return write_file_atomically(file_of(directory_, sealed.name, sealed.profile), *bytes, 0600);
}

Result<Sealed> Vault::get(const std::string& name, const std::string& profile) {
  if (auto good = check_names(name, profile); !good) return good.error();
  const std::string path = file_of(directory_, name, profile);
  for (bool first = true;; first = false) {
    const auto file = read_sealed(path);
    if (!file && file.error().code == Errc::not_found) return not_stored(name, profile);
    if (!file) return file.error();
    auto sealed = unseal(key_, *file, name, profile);
    if (sealed) return sealed;
    if (sealed.error().code != Errc::refused) return sealed.error().in(path);
    const auto followed = follow_key();
    if (!followed) return followed.error();
    if (*followed && first) continue;
    return error(Errc::tampered,
                 "%s was changed, or sealed with another key than %s.key: grant it again",
                 path.c_str(), directory_.c_str());
  }
}

Result<void> Vault::remove(const std::string& name, const std::string& profile) {
  if (auto good = check_names(name, profile); !good) return good;
  auto removed = remove_file(file_of(directory_, name, profile));
  if (!removed && removed.error().code == Errc::not_found) return not_stored(name, profile);
  return removed;
}

Result<std::vector<std::string>> Vault::names(const std::string& profile) {
  if (!profile.empty()) {
    if (auto good = check_names("x", profile); !good) return good.error();
  }
  return names_in(directory_of(directory_, profile), suffix);
}

Result<std::vector<std::string>> Vault::profiles() {
  return names_in(directory_ + "/profiles", "");
}

Result<std::vector<Vault::Place>> Vault::places() {
  auto all = profiles();
  if (!all) return all.error();
  all->insert(all->begin(), std::string());
  std::vector<Place> places;
  for (const std::string& profile : *all) {
    auto in_it = names(profile);
    if (!in_it) return in_it.error();
    for (std::string& name : *in_it) places.push_back({std::move(name), profile});
  }
  return places;
}

Result<Vault::Held> Vault::held() {
  const auto all = places();
  if (!all) return all.error();
  Held held;
  for (const Place& place : *all) {
    auto sealed = get(place.name, place.profile);
    if (!sealed) {
      held.closed.push_back(sealed.error());
      continue;
    }
    held.secrets.push_back(std::move(sealed->secret));
    if (!sealed->refresh_token.empty()) held.secrets.push_back(std::move(sealed->refresh_token));
  }
  return held;
}

Result<Vault::Held> Vault::held(const std::string& home, const KeyAccess& access) {
  if (!exists(home)) return Held();
  auto vault = open(home, access);
  if (!vault) return vault.error();
  return vault->held();
}

// The new key is written first, as credentials.key.new; then everything is sealed with it, each
// file at once; then it takes the place of the old. At any moment one of the two keys opens each
// file.
Result<size_t> Vault::rekey(const std::string& home, const KeyAccess& access) {
  const std::string path = key_file_of(home);
  const std::string new_path = new_key_file_of(home);
  const auto lock = lock_vault(home + "/credentials", LOCK_EX, lock_patience);
  if (!lock) return lock.error();
  const auto record = read_key_record(path);
  if (!record) return record.error();
  auto key = fetch_key(*record, path, access, PassphraseFor::opening);
  if (!key) return key.error();
  Vault old = with_key(home, *record, std::move(*key));

  std::optional<Vault> fresh;
  auto begun = read_key_record(new_path);
  if (!begun && begun.error().code != Errc::not_found) return begun.error();
  if (begun) {
    auto new_key = fetch_key(*begun, new_path, access, PassphraseFor::finishing);
    if (!new_key) return new_key.error();
    fresh = with_key(home, *begun, std::move(*new_key));
  }
  const auto all = old.places();
  if (!all) return all.error();
  std::vector<Sealed> to_seal;
  for (const Place& place : *all) {
    if (fresh && fresh->get(place.name, place.profile)) continue;
    auto sealed = old.get(place.name, place.profile);
    if (!sealed) return sealed.error();
    to_seal.push_back(std::move(*sealed));
  }

  if (!fresh) {
    auto made = make_key(access.wanted.value_or(record->source), access);
    if (!made) return made.error();
    std::string text = made->record.text();
    const auto created = create_file(new_path, text, 0600);
    wipe(text);
    if (!created) {
      forget_key(made->record);
      return created.error();
    }
    fresh = with_key(home, made->record, std::move(made->key));
  }
  for (const Sealed& sealed : to_seal) {
    if (auto written = fresh->write(sealed); !written) return written.error();
  }
  if (rename(new_path.c_str(), path.c_str()) != 0)
    return errno_error("cannot put %s in its place", new_path.c_str());
  if (auto synced = sync_directory(home); !synced) return synced.error();
  forget_key(*record);
  return all->size();
}

}  // namespace moat::store
