// Logins that another program of this machine keeps in a file, and renews there, as a source with
// `follow` says. moat takes the access token only, and reads the file again for the next one: where
// a refresh token is good for one use, renewing it here would log the other program out.
#pragma once

#include "core/clock.h"
#include "core/result.h"
#include "provider.h"
#include "store/vault.h"
#include "token_source.h"

namespace moat {

// Leaves what `found` may be renewed with to the program whose file it was found in; or takes it,
// where it is good for many uses, or the person wants that (`take`). Errc::not_found where there is
// none to take.
Result<void> settle_renewal(const ProviderSite& site, const std::string& host, bool take,
                            FoundToken& found);

// The source that the credential follows; nullptr where it follows none.
const TokenSource* followed_source(const Provider& provider, const store::Sealed& credential);

// The credential with the newer token that is in the file by now. Errc::busy where there is none
// yet, Errc::refused where the file holds a login of somebody else's. Blocks for a small file.
Result<store::Sealed> read_login_again(const Provider& provider, const store::Sealed& have,
                                       const Clock& clock);

}  // namespace moat
