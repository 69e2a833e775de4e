// RequestSigner: a credential that is not put on requests but signs them, each by itself. What the
// relay (relay.h) knows of it: neither whose signatures they are, nor where the keys come from.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "proxy/http.h"
#include "proxy/scrubber.h"

namespace moat::proxy {

// One request on its way. Errors are told to the agent: Errc::denied and Errc::invalid as 403,
// Errc::too_large as 413, Errc::unsupported as 501, Errc::full as 503, others as 502.
class RequestSigning {
 public:
  virtual ~RequestSigning() = default;

  // Has the whole body to be known before anything may leave? Then it is gathered here.
  [[nodiscard]] virtual bool wants_body() const = 0;
  virtual Result<void> gather(std::string_view bytes) = 0;
  // May it pass, and are there keys? After the body, where that is wanted. `done` is called once,
  // from within or later.
  virtual void check(std::function<void(const Result<void>&)> done) = 0;

  // What the answer must not hold; null: nothing that is in it would be a secret.
  [[nodiscard]] virtual std::shared_ptr<const ScrubPatterns> secrets() const = 0;
  struct Applied {
    std::vector<std::string> labels;    // of what signed it
    std::vector<std::string> stripped;  // headers of the agent's that were removed
  };
  // On the head as it leaves; again for another connection. The head then is to be wiped.
  virtual Result<Applied> sign(RequestHead& head) = 0;

  // The body that was gathered; once.
  virtual std::string take_body() = 0;
  // Otherwise: what leaves for what has come, and whether all of it was good.
  virtual Result<std::string_view> pass(std::string_view bytes) = 0;
  virtual Result<void> finish() = 0;
};

class RequestSigner {
 public:
  virtual ~RequestSigner() = default;

  [[nodiscard]] virtual const std::string& label() const = 0;               // "aws"
  [[nodiscard]] virtual const std::vector<std::string>& hosts() const = 0;  // patterns
  // The head as the agent sent it, with its authority. The signer outlives what it gives.
  virtual Result<std::unique_ptr<RequestSigning>> begin(std::string_view scheme,
                                                        std::string_view host,
                                                        const RequestHead& head,
                                                        BodyLength length) = 0;
};

}  // namespace moat::proxy
