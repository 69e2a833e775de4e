// The vault as the person has set it up: config.yaml says where its key is kept, and a passphrase
// comes out of a file or from the terminal, never from the command line.
#pragma once

#include <string>

#include "core/result.h"
#include "paths.h"
#include "store/vault.h"

namespace moat {

class Arguments;

// --profile, else MOAT_PROFILE, else "", which is the default.
std::string profile_of(const Arguments& arguments);

// How the key of the vault is come by: `vault.key` of config.yaml, and for a passphrase the file
// that MOAT_PASSPHRASE_FILE names, else the terminal; for a new one MOAT_NEW_PASSPHRASE_FILE before
// that. A file must be the person's own, and closed to others.
Result<store::KeyAccess> vault_access(const Home& home);

// The vault of `home`, which stays open for as long as the process lives: a passphrase is asked for
// once, and one that was refused is not asked for again. Makes a vault where there is none.
Result<store::Vault*> open_vault(const Home& home);
// That there is no such credential in the profile, which there are, and which may have been meant.
Error not_stored(store::Vault& vault, const std::string& name, const std::string& profile);
// Every secret that is held. One vault that nobody has unlocked is told among what is closed.
Result<store::Vault::Held> held_secrets(const Home& home);

}  // namespace moat
