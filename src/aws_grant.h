// The AWS grant: keys, and perhaps a role to assume with them, kept in the vault as one secret and
// turned into what signs the requests of a run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "aws_sts.h"
#include "core/json.h"
#include "core/result.h"
#include "core/secret.h"
#include "grant.h"
#include "store/vault.h"

namespace moat {

class Arguments;

inline constexpr std::string_view aws_grant_name = "aws";

// What is kept. As text it is a JSON object.
struct AwsCredential {
  proxy::AwsKeys keys;
  std::string external_id;  // of the role that the facts name
};
Secret seal_aws(const AwsCredential& credential);
Result<AwsCredential> unseal_aws(const Secret& text);
// The secrets in a text of the vault's, where it is such a one; else none.
std::vector<Secret> aws_secrets_in(const Secret& text);

// Facts: "host" (of a server of one's own, or ""), "region", "role", "session_duration",
// "expires_at", and "profile", where AWS's own tool gives keys for it that end.
Result<GrantUse> use_aws_grant(const store::Sealed& sealed);

// `moat grant aws`.
int grant_aws(const Arguments& arguments, const Home& home);

}  // namespace moat
