// Grants that a run asks for and that are not stored, offered to the person at the terminal.
#pragma once

#include "config.h"
#include "paths.h"

namespace moat {

// Asks for each, where somebody can be asked, and has 'moat grant' obtain it. exit_ok, or the
// status of a grant that was wanted and failed. What is still missing is for resolve_grants() to
// tell.
//
// Also the moment to ask for the vault's passphrase: later there may be no terminal.
int offer_missing_grants(const Home& home, const Config& config);

}  // namespace moat
