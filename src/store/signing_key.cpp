#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>

#include <utility>

#include "core/fd.h"
#include "core/handle.h"
#include "store/note.h"
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

std::string old_directory(const std::string& home) {
  return home + "/audit/old";
}
std::string old_path(const std::string& home, const std::string& public_key) {
  return old_directory(home) + "/" + note_key_id(public_key) + ".pub";
}

// Was this public key, in DER, put away when the key was changed?
bool is_old(const std::string& home, const std::string& public_key) {
  const auto kept = read_file(old_path(home, public_key), max_pem);
  const auto der = kept ? public_key_der(*kept) : kept.error();
  return der && *der == public_key;
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
  if (der && *der == key->public_der()) return key;
  // A change of keys that was not finished: the old half is put away first, the public half last.
  if (!der || !is_old(home, *der))
    return error(Errc::tampered, "%s is not the public half of %s: restore both from a backup",
                 public_path(home).c_str(), private_path(home).c_str());
  if (auto written = write_file_atomically(public_path(home), key->public_pem(), 0644); !written)
    return written.error();
  return key;
}

Result<std::string> read_public_key(const std::string& home) {
  return read_file(public_path(home), max_pem);
}

Result<std::vector<std::string>> read_public_keys(const std::string& home) {
  auto current = read_public_key(home);
  if (!current) return current.error();
  std::vector<std::string> keys = {std::move(*current)};
  const Handle<DIR, closedir> directory(opendir(old_directory(home).c_str()));
  while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
    const std::string name = entry->d_name;
    if (!name.ends_with(".pub")) continue;
    auto kept = read_file(old_directory(home) + "/" + name, max_pem);
    if (!kept) return kept.error();
    keys.push_back(std::move(*kept));
  }
  return keys;
}

Result<SigningKey> rotate_signing_key(const std::string& home) {
  const auto present = open_signing_key(home);
  if (!present) return present.error();
  if (auto made = make_private_directory(old_directory(home)); !made) return made.error();
  const Fd lock(open(old_directory(home).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) return errno_error("cannot open %s", old_directory(home).c_str());
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return error(Errc::busy, "the key is being changed by another process");
  // Once more: the one before may have been changed until the lock was ours.
  const auto old = open_signing_key(home);
  if (!old) return old.error();
  auto key = SigningKey::generate();
  if (!key) return key.error();
  const Secret pem = key->private_pem();
  const std::string old_public = old_path(home, old->public_der());
  if (auto kept = write_file_atomically(old_public, old->public_pem(), 0644); !kept)
    return kept.error();
  if (auto made = write_file_atomically(private_path(home), pem.reveal(), 0600); !made)
    return made.error();
  if (auto made = write_file_atomically(public_path(home), key->public_pem(), 0644); !made)
    return made.error();
  return key;
}

}  // namespace moat::store
