// Refusal: a response of moat's own, the same wherever it happens, that says why and what to do.
#pragma once

#include <string>

#include "core/result.h"
#include "proxy/http.h"

namespace moat::proxy {

struct Refusal {
  int status = 403;    // 407 only from a proxy that asks its own clients for a password: it makes
                       // them send credentials again
  bool ours = true;    // moat's decision; false for a fault of the origin's
  std::string reason;  // one plain sentence
  std::string rule;    // that decided, and where it stands; may be empty
  std::string where;
  std::string hint;  // how the user can change that; may be empty
};

// What a failed connection to an origin is told as: 403, 502 or 504.
Refusal refusal_for(const Error& failure);
// What a request that cannot be signed is told as (request_signer.h).
Refusal refusal_for_signing(const Error& failure);
// What a request is told as whose body cannot be given a credential (json_body.h).
Refusal refusal_for_body(const Error& failure);
// What unreadable bytes of the agent's are told as: 400, 413, 414 or 431.
Refusal refusal_for_syntax(const Error& failure);

struct RefusalMessage {
  ResponseHead head;  // with its Content-Length
  std::string body;   // JSON; "" in answer to HEAD
};
RefusalMessage render(const Refusal& refusal, const std::string& request_id, bool to_head);

const char* reason_phrase(int status);

}  // namespace moat::proxy
