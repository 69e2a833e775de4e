#include "store/kernel_keyring.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace moat::store {
namespace {

constexpr const char* key_type = "user";

template <class... Words>
long keyctl(long operation, Words... words) {
  return syscall(SYS_keyctl, operation, words...);
}

bool is_no_key(int number) {
  return number == ENOKEY || number == EKEYEXPIRED || number == EKEYREVOKED;
}

Error keyring_error(const char* what, const std::string& name) {
  if (errno == ENOSYS || errno == EPERM)
    return error(Errc::unsupported, "the kernel's keyring cannot be used here: %s",
                 strerror(errno));
  if (is_no_key(errno))
    return error(Errc::not_found, "the kernel's keyring has no key '%s'", name.c_str());
  return errno_error("cannot %s '%s' in the kernel's keyring", what, name.c_str());
}

// A session that has no way to the user keyring (keyctl new_session, cron) would not possess what
// is in it: from the process's own keyring there is one.
void reach_user_keyring() {
  keyctl(KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_PROCESS_KEYRING);
}

// Asking for it also puts off the day when it expires. Negative where there is none.
long persistent_keyring() {
  return keyctl(KEYCTL_GET_PERSISTENT, -1, KEY_SPEC_PROCESS_KEYRING);
}

long find_key(const std::string& name) {
  reach_user_keyring();
  const long persistent = persistent_keyring();
  long key = keyctl(KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, key_type, name.c_str(), 0);
  if (key >= 0 || persistent < 0) return key;
  const int why = errno;
  key = keyctl(KEYCTL_SEARCH, persistent, key_type, name.c_str(), 0);
  if (key >= 0) keyctl(KEYCTL_LINK, key, KEY_SPEC_USER_KEYRING);
  if (key < 0) errno = why;
  return key;
}

}  // namespace

Result<void> put_into_keyring(const std::string& name, const Secret& secret) {
  reach_user_keyring();
  const std::string_view bytes = secret.reveal();
  const long key = syscall(SYS_add_key, key_type, name.c_str(), bytes.data(), bytes.size(),
                           KEY_SPEC_USER_KEYRING);
  if (key < 0) return keyring_error("keep", name);
  if (const long persistent = persistent_keyring(); persistent >= 0)
    keyctl(KEYCTL_LINK, key, persistent);
  return {};
}

Result<Secret> get_from_keyring(const std::string& name, size_t limit) {
  const long key = find_key(name);
  if (key < 0) return keyring_error("find", name);
  std::string bytes(limit, '\0');
  const long size = keyctl(KEYCTL_READ, key, bytes.data(), bytes.size());
  if (size < 0) {
    wipe(bytes);
    return keyring_error("read", name);
  }
  if (static_cast<size_t>(size) > limit) {
    wipe(bytes);
    return error(Errc::too_large, "'%s' in the kernel's keyring is longer than %zu bytes",
                 name.c_str(), limit);
  }
  Secret secret(std::string_view(bytes).substr(0, static_cast<size_t>(size)));
  wipe(bytes);
  return secret;
}

Result<void> remove_from_keyring(const std::string& name) {
  const long key = find_key(name);
  if (key < 0) {
    if (is_no_key(errno)) return {};
    return keyring_error("find", name);
  }
  // Wherever else it is linked to, it is of no use from now on.
  if (keyctl(KEYCTL_INVALIDATE, key) < 0 && keyctl(KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING) < 0)
    return keyring_error("remove", name);
  return {};
}

}  // namespace moat::store
