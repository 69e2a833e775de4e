// AwsSigner: the requests of a run to AWS, which are signed with a placeholder, signed anew with
// the real keys. The agent's own signature is verified first: what was signed by another key, or
// changed, does not pass. Its time stays, for AWS's clients follow the clock of AWS's servers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "proxy/aws_sigv4.h"
#include "proxy/request_signer.h"

namespace moat::proxy {

struct AwsSignerSettings {
  std::string label = "aws";
  std::vector<std::string> hosts;               // patterns, as HostRule::host
  AwsKeys placeholder;                          // what the sandbox has
  std::vector<std::string> credential_headers;  // as for Injector: what is sent in them is removed
};

class AwsSigner final : public RequestSigner {
 public:
  // A body that has to be known is held: so much of one (what DynamoDB takes), and of all together.
  static constexpr size_t largest_body = 16 * 1024 * 1024;
  static constexpr size_t all_bodies = 64 * 1024 * 1024;

  explicit AwsSigner(AwsSignerSettings settings);
  ~AwsSigner() override;
  AwsSigner(const AwsSigner&) = delete;
  AwsSigner& operator=(const AwsSigner&) = delete;

  // From now on. Until there are keys, or a reason why there are none, requests wait.
  void set_keys(AwsKeys keys);
  void set_failure(Error why);
  [[nodiscard]] const AwsKeys& placeholder() const { return settings_.placeholder; }

  [[nodiscard]] const std::string& label() const override { return settings_.label; }
  [[nodiscard]] const std::vector<std::string>& hosts() const override { return settings_.hosts; }
  Result<std::unique_ptr<RequestSigning>> begin(std::string_view scheme, std::string_view host,
                                                const RequestHead& head,
                                                BodyLength length) override;

 private:
  class Signing;
  struct Held {
    AwsKeys keys;
    ScrubPatterns secrets;  // session tokens: these, and those before; nothing else is ever sent
  };
  void await_keys(std::function<void(const Result<void>&)> done);
  void settle();

  AwsSignerSettings settings_;
  std::shared_ptr<const Held> held_;
  Secret last_token_;
  std::optional<Error> failure_;
  std::vector<std::function<void(const Result<void>&)>> waiting_;
  size_t gathered_ = 0;  // bytes of bodies
};

// Keys for a sandbox: of the right shape, random, good for nothing.
AwsKeys placeholder_aws_keys();

}  // namespace moat::proxy
