// The kernel's keyring of this user (keyrings(7)): secrets that are in memory only, and gone when
// the machine stops. A key is linked to the user keyring and, where there is one, to the persistent
// keyring, which outlives the last session of the user by some days.
//
// Only those who possess a key may read it: a process that reaches the user keyring. A sandbox has
// a user namespace, and so a user keyring, of its own.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/secret.h"

namespace moat::store {

// Replaces what is there. Errc::unsupported where the kernel has no keyrings, or, as in many
// containers, does not let us use them.
Result<void> put_into_keyring(const std::string& name, const Secret& secret);
// Errc::not_found; Errc::too_large past `limit` bytes.
Result<Secret> get_from_keyring(const std::string& name, size_t limit);
Result<void> remove_from_keyring(const std::string& name);  // one that is not there is removed

}  // namespace moat::store
