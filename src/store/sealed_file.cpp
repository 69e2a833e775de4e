#include "store/sealed_file.h"

#include <cstddef>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "core/crypto.h"
#include "store/private_file.h"

namespace moat::store {
namespace {

constexpr std::string_view magic = "moat-sealed";
constexpr char version = 2;
constexpr size_t size_bytes = 4;
constexpr size_t max_facts = 64 * 1024;
constexpr size_t max_secret = 64 * 1024;
constexpr size_t max_file =
    magic.size() + 1 + 28 + 3 * size_bytes + max_facts + max_secret + max_secret;

std::string associated_data(char form, const std::string& name, const std::string& profile) {
  std::string aad = form == 1 ? "moat credential v1" : "moat credential v2";
  aad += '\0';
  aad += profile;
  aad += '\0';
  return aad + name;
}

// Reserved first, so that no part of a secret stays behind in a smaller buffer.
std::string clear_text(std::initializer_list<std::string_view> parts) {
  size_t size = 0;
  for (const std::string_view part : parts) size += size_bytes + part.size();
  std::string text;
  text.reserve(size);
  for (const std::string_view part : parts) {
    for (int shift = 24; shift >= 0; shift -= 8)
      text += static_cast<char>(part.size() >> shift & 0xff);
    text.append(part);
  }
  return text;
}

// Takes the next part off `text`; false where it is cut.
bool take_part(std::string_view& text, std::string_view& part) {
  if (text.size() < size_bytes) return false;
  size_t size = 0;
  for (size_t i = 0; i < size_bytes; ++i) size = size << 8 | static_cast<unsigned char>(text[i]);
  text.remove_prefix(size_bytes);
  if (size > text.size()) return false;
  part = text.substr(0, size);
  text.remove_prefix(size);
  return true;
}

Result<Sealed> from_clear_text(char form, std::string_view text) {
  const Error bad = error(Errc::tampered, "its content is malformed");
  std::string_view facts;
  std::string_view secret;
  std::string_view refresh_token;
  if (!take_part(text, facts)) return bad;
  if (form == 1) {
    secret = text;
  } else if (!take_part(text, secret) || !take_part(text, refresh_token) || !text.empty()) {
    return bad;
  }
  auto json = Json::parse(facts);
  if (!json || !json->view().is_object()) return bad;
  Sealed sealed;
  sealed.facts = std::move(*json);
  sealed.secret = Secret(secret);
  sealed.refresh_token = Secret(refresh_token);
  return sealed;
}

}  // namespace

Result<std::string> seal(const Secret& key, const Sealed& sealed) {
  const std::string facts = sealed.facts.text();
  if (!sealed.facts.view().is_object()) return error(Errc::invalid, "the facts are not an object");
  if (facts.size() > max_facts || sealed.secret.size() > max_secret ||
      sealed.refresh_token.size() > max_secret)
    return error(Errc::too_large, "a credential holds at most 64 KiB, and its facts as much");
  std::string text = clear_text({facts, sealed.secret.reveal(), sealed.refresh_token.reveal()});
  const auto cipher =
      seal_aes256gcm(key, text, associated_data(version, sealed.name, sealed.profile));
  wipe(text);
  if (!cipher) return cipher.error();
  return std::string(magic) + version + *cipher;
}

Result<SealedBytes> read_sealed(const std::string& path) {
  auto file = read_private_file(path, max_file);
  if (!file) return file.error();
  const std::string_view bytes = file->reveal();
  if (!bytes.starts_with(magic))
    return error(Errc::tampered, "%s is not a credential: grant it again", path.c_str());
  const char form = bytes.size() > magic.size() ? bytes[magic.size()] : '\0';
  if (form != 1 && form != version)
    return error(Errc::unsupported, "%s was written by another version of moat: grant it again",
                 path.c_str());
  return SealedBytes{form, Secret(bytes.substr(magic.size() + 1))};
}

Result<Sealed> unseal(const Secret& key, const SealedBytes& file, const std::string& name,
                      const std::string& profile) {
  const auto text =
      open_aes256gcm(key, file.bytes.reveal(), associated_data(file.form, name, profile));
  if (!text) return error(Errc::refused, "the key does not open it");
  auto sealed = from_clear_text(file.form, text->reveal());
  if (!sealed) return sealed.error();
  sealed->name = name;
  sealed->profile = profile;
  return sealed;
}

}  // namespace moat::store
