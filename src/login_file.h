// Logins that another program of this machine keeps in a file, and renews there, as a source with
// `follow` says. moat takes the access token only, and reads the file again for the next one: where
// a refresh token is good for one use, renewing it here would log the other program out.
#pragma once

#include "core/clock.h"
#include "core/result.h"
#include "provider.h"
#include "store/vault.h"

namespace moat {

// The source that the credential follows; nullptr where it follows none.
const TokenSource* followed_source(const Provider& provider, const store::Sealed& credential);

// The credential with the newer token that is in the file by now. Errc::busy where there is none
// yet, Errc::refused where the file holds a login of somebody else's. Blocks for a small file.
Result<store::Sealed> read_login_again(const Provider& provider, const store::Sealed& have,
                                       const Clock& clock);

}  // namespace moat
