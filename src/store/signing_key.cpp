#include <utility>

#include "core/fd.h"
#include "store/private_file.h"
#include "store/vault.h"

namespace moat::store {
namespace {

constexpr size_t max_pem = 8 * 1024;

std::string private_path(const std::string& home) {
  return home + "/audit/key.pem";
}
std::string public_path(const std::string& home) {
  return home + "/audit/key.pub";
}

// A new key, unless another process was first; and none at all where the public half of a lost key
// is still there, for that is what the records so far were signed with.
Result<void> make_key(const std::string& home) {
  const auto kept = read_file(public_path(home), max_pem);
  const auto again = read_private_file(private_path(home), max_pem);
  if (again) return {};
  if (kept)
    return error(Errc::not_found,
                 "%s is missing, but its public half is there: restore it from a backup, or move "
                 "%s away to start with a new key",
                 private_path(home).c_str(), public_path(home).c_str());
  const auto key = SigningKey::generate();
  if (!key) return key.error();
  const Secret pem = key->private_pem();
  const auto made = create_file(private_path(home), pem.reveal(), 0600);
  return made ? Result<void>() : made.error();
}

}  // namespace

Result<SigningKey> open_signing_key(const std::string& home) {
  for (const std::string& directory : {home, home + "/audit"}) {
    if (auto made = make_private_directory(directory); !made) return made.error();
  }
  auto pem = read_private_file(private_path(home), max_pem);
  if (!pem && pem.error().code == Errc::not_found) {
    if (auto made = make_key(home); !made) return made.error();
    pem = read_private_file(private_path(home), max_pem);
  }
  if (!pem) return pem.error();
  auto key = SigningKey::from_pem(*pem);
  if (!key) return key.error().in(private_path(home));

  auto kept = read_public_key(home);
  if (!kept && kept.error().code == Errc::not_found) {
    const auto made = create_file(public_path(home), key->public_pem(), 0644);
    if (!made) return made.error();
    kept = read_public_key(home);
  }
  if (!kept) return kept.error();
  const auto der = public_key_der(*kept);
  if (!der || *der != key->public_der())
    return error(Errc::tampered, "%s is not the public half of %s: restore both from a backup",
                 public_path(home).c_str(), private_path(home).c_str());
  return key;
}

Result<std::string> read_public_key(const std::string& home) {
  return read_file(public_path(home), max_pem);
}

}  // namespace moat::store
