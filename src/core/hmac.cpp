#include "core/hmac.h"

#include <algorithm>
#include <array>
#include <string>

#include "core/secret.h"

namespace moat {
namespace {

constexpr size_t block = 64;

}  // namespace

Digest hmac_sha256(std::string_view key, std::initializer_list<std::string_view> pieces) {
  Digest hashed{};
  if (key.size() > block) {
    hashed = sha256(key);
    key = view(hashed);
  }
  std::array<char, block> inner{};
  std::array<char, block> outer{};
  std::copy(key.begin(), key.end(), inner.begin());
  std::copy(key.begin(), key.end(), outer.begin());
  for (char& c : inner) c = static_cast<char>(c ^ 0x36);
  for (char& c : outer) c = static_cast<char>(c ^ 0x5c);
  // Messages are short here; sha256() takes its pieces as a list that has to be known.
  std::string message(inner.data(), inner.size());
  size_t size = message.size();
  for (const std::string_view piece : pieces) size += piece.size();
  message.reserve(size);  // growing would leave copies of the key
  for (const std::string_view piece : pieces) message += piece;
  const Digest first = sha256(message);
  const Digest mac = sha256({std::string_view(outer.data(), outer.size()), view(first)});
  wipe(message);
  wipe(inner.data(), inner.size());
  wipe(outer.data(), outer.size());
  wipe(hashed.data(), hashed.size());
  return mac;
}

}  // namespace moat
