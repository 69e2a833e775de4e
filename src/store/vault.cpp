#include "store/vault.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/fd.h"
#include "core/handle.h"
#include "core/text.h"
#include "store/private_file.h"

// A sealed file, version 1: the magic, then nonce || ciphertext || tag. In the clear text the
// facts' size (4 bytes, big-endian), the facts as JSON, and the secret to the end.
namespace moat::store {
namespace {

constexpr std::string_view magic("moat-sealed\x01", 12);
constexpr size_t size_bytes = 4;
constexpr size_t max_facts = 64 * 1024;
constexpr size_t max_secret = 64 * 1024;
constexpr size_t max_file = magic.size() + 28 + size_bytes + max_facts + max_secret;
constexpr size_t key_size = 32;
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

std::string associated_data(const std::string& name, const std::string& profile) {
  std::string aad = "moat credential v1";
  aad += '\0';
  aad += profile;
  aad += '\0';
  return aad + name;
}

Error not_stored(const std::string& name, const std::string& profile) {
  return error(Errc::not_found, "no credential '%s' is stored%s%s%s", name.c_str(),
               profile.empty() ? "" : " in profile '", profile.c_str(), profile.empty() ? "" : "'");
}

// Reserved first, so that no part of the secret stays behind in a smaller buffer.
std::string clear_text(std::string_view facts, std::string_view secret) {
  std::string text;
  text.reserve(size_bytes + facts.size() + secret.size());
  for (int shift = 24; shift >= 0; shift -= 8)
    text += static_cast<char>(facts.size() >> shift & 0xff);
  return text.append(facts).append(secret);
}

Result<Sealed> from_clear_text(std::string_view text) {
  size_t facts_size = 0;
  for (size_t i = 0; i < size_bytes && i < text.size(); ++i)
    facts_size = facts_size << 8 | static_cast<unsigned char>(text[i]);
  if (text.size() < size_bytes || facts_size > text.size() - size_bytes)
    return error(Errc::tampered, "its content is malformed");
  auto facts = Json::parse(text.substr(size_bytes, facts_size));
  if (!facts) return error(Errc::tampered, "its content is malformed");
  Sealed sealed;
  sealed.facts = std::move(*facts);
  sealed.secret = Secret(text.substr(size_bytes + facts_size));
  return sealed;
}

Result<Secret> open_key(const std::string& path) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    auto key = read_private_file(path, key_size);
    if (key && key->size() == key_size) return key;
    if (key || key.error().code == Errc::too_large)
      return error(Errc::tampered, "%s is not a key: restore it from a backup", path.c_str());
    if (key.error().code != Errc::not_found) return key;
    std::string made = random_bytes(key_size);
    const auto created = create_file(path, made, 0600);
    wipe(made);
    if (!created) return created.error();
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

Result<Vault> Vault::open(const std::string& home) {
  Vault vault;
  vault.directory_ = home + "/credentials";
  for (const std::string& directory : {home, vault.directory_}) {
    if (auto made = make_private_directory(directory); !made) return made.error();
  }
  auto key = open_key(home + "/credentials.key");
  if (!key) return key.error();
  vault.key_ = std::move(*key);
  return vault;
}

Result<void> Vault::put(const Sealed& sealed) {
  if (auto good = check_names(sealed.name, sealed.profile); !good) return good;
  const std::string facts = sealed.facts.text();
  if (!sealed.facts.view().is_object()) return error(Errc::invalid, "the facts are not an object");
  if (facts.size() > max_facts || sealed.secret.size() > max_secret)
    return error(Errc::too_large, "a credential holds at most 64 KiB, and its facts as much");
  if (!sealed.profile.empty()) {
    for (const std::string& directory :
         {directory_ + "/profiles", directory_of(directory_, sealed.profile)}) {
      if (auto made = make_private_directory(directory); !made) return made;
    }
  }
  std::string text = clear_text(facts, sealed.secret.reveal());
  const auto cipher = seal_aes256gcm(key_, text, associated_data(sealed.name, sealed.profile));
  wipe(text);
  if (!cipher) return cipher.error();
  return write_file_atomically(file_of(directory_, sealed.name, sealed.profile),
                               std::string(magic) + *cipher, 0600);
}

Result<Sealed> Vault::get(const std::string& name, const std::string& profile) {
  if (auto good = check_names(name, profile); !good) return good.error();
  const std::string path = file_of(directory_, name, profile);
  const auto file = read_private_file(path, max_file);
  if (!file && file.error().code == Errc::not_found) return not_stored(name, profile);
  if (!file) return file.error();
  const std::string_view bytes = file->reveal();
  if (bytes.substr(0, magic.size() - 1) != magic.substr(0, magic.size() - 1))
    return error(Errc::tampered, "%s is not a credential: grant it again", path.c_str());
  if (bytes.size() < magic.size() || bytes[magic.size() - 1] != magic.back())
    return error(Errc::unsupported, "%s was written by another version of moat: grant it again",
                 path.c_str());
  const auto text =
      open_aes256gcm(key_, bytes.substr(magic.size()), associated_data(name, profile));
  if (!text)
    return error(Errc::tampered,
                 "%s was changed, or sealed with another key than %s.key: grant it again",
                 path.c_str(), directory_.c_str());
  auto sealed = from_clear_text(text->reveal());
  if (!sealed) return sealed.error().in(path);
  sealed->name = name;
  sealed->profile = profile;
  return sealed;
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

Result<Vault::Held> Vault::held(const std::string& home) {
  Held held;
  if (access((home + "/credentials.key").c_str(), F_OK) != 0) return held;
  auto vault = open(home);
  if (!vault) return vault.error();
  auto profiles = vault->profiles();
  if (!profiles) return profiles.error();
  profiles->emplace_back();
  for (const std::string& profile : *profiles) {
    const auto names = vault->names(profile);
    if (!names) return names.error();
    for (const std::string& name : *names) {
      auto sealed = vault->get(name, profile);
      if (sealed)
        held.secrets.push_back(std::move(sealed->secret));
      else
        held.closed.push_back(sealed.error());
    }
  }
  return held;
}

}  // namespace moat::store
