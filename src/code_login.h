// A CodeFlow as a person at a terminal goes through it: the address is shown, opened in a browser
// where there is one, and what that ends at may be pasted instead.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "code_flow.h"
#include "core/fetch.h"
#include "core/loop.h"
#include "core/result.h"
#include "provider.h"
#include "redirect_listener.h"

namespace moat {

struct CodeLogin {
  CodeFlowSettings flow;
  RedirectPlace place;
  bool browser = true;  // is to be opened, where there is one and MOAT_NO_BROWSER is not set
};

// What a provider's file says of it, for the server `host` and the client `client_id`.
CodeLogin code_login_of(const Provider& provider, const std::string& host,
                        const std::string& client_id);

// Runs the loop until there is a token or an error; absent where something else has stopped it.
// `say` prints a line for the person.
using Say = std::function<void(const std::string& line)>;
std::optional<Result<TokenAnswer>> log_in_by_code(Loop& loop, Fetcher& fetcher,
                                                  CodeFlowSettings flow,
                                                  std::unique_ptr<RedirectListener> listener,
                                                  bool browser, const Say& say);

}  // namespace moat
