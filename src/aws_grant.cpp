#include "aws_grant.h"

#include <utility>

#include "aws_keeper.h"
#include "aws_keys.h"
#include "core/child.h"
#include "core/clock.h"
#include "core/text.h"
#include "proxy/aws_signer.h"
#include "proxy_choice.h"

namespace moat {
namespace {

constexpr Milliseconds tool_limit{60'000};
constexpr size_t largest_output = 64 * 1024;
constexpr const char* amazons_hosts[] = {"*.amazonaws.com", "*.amazonaws.com.cn", "*.api.aws"};
constexpr const char* public_registry = "public.ecr.aws";

// What some of Amazon's services answer is a credential of its own, with which tools other than
// AWS's then go to a registry, unsigned. Those of public.ecr.aws in turn are given others there.
struct AwsMinting {
  const char* host;
  const char* path;  // "": any
  proxy::JsonPath member;
  proxy::JsonPath expires;
  bool basic;  // AWS:PASSWORD in base64
  const char* taker;
};
const std::vector<AwsMinting>& aws_mintings() {
  static const proxy::JsonPath ecr = {"authorizationData", "authorizationToken"};
  static const proxy::JsonPath ecr_end = {"authorizationData", "expiresAt"};
  static const proxy::JsonPath artifact = {"authorizationToken"};
  static const std::vector<AwsMinting> list = {
      {"api.ecr.*.amazonaws.com", "", ecr, ecr_end, true, "*.dkr.ecr.*.amazonaws.com"},
      {"ecr.*.amazonaws.com", "", ecr, ecr_end, true, "*.dkr.ecr.*.amazonaws.com"},
      {"ecr.*.api.aws", "", ecr, ecr_end, true, "*.dkr.ecr.*.amazonaws.com"},
      {"api.ecr.*.amazonaws.com.cn", "", ecr, ecr_end, true, "*.dkr.ecr.*.amazonaws.com.cn"},
      {"api.ecr-public.*.amazonaws.com", "", ecr, ecr_end, true, "public.ecr.aws"},
      {"public.ecr.aws", "/token", {"token"}, {}, false, "public.ecr.aws"},
      {"codeartifact.*.amazonaws.com",
       "/v1/authorization-token",
       artifact,
       {"expiration"},
       false,
       "*.d.codeartifact.*.amazonaws.com"},
      {"codeartifact.*.api.aws",
       "/v1/authorization-token",
       artifact,
       {"expiration"},
       false,
       "*.d.codeartifact.*.amazonaws.com"},
  };
  return list;
}

void add_mintings(GrantUse& use, const std::vector<std::string>& homes) {
  for (const AwsMinting& each : aws_mintings()) {
    proxy::Minting minting;
    minting.label = use.name;
    minting.host = each.host;
    if (*each.path != '\0') minting.paths = {each.path};
    minting.members = {each.member};
    minting.expires = each.expires;
    minting.basic = each.basic;
    minting.takers = {each.taker};
    minting.homes = homes;
    use.mintings.push_back(std::move(minting));
  }
}

proxy::HostRule rule_for(const std::string& host, bool local) {
  proxy::HostRule rule;
  rule.host = rule.text = host;
  rule.port = 443;
  rule.local = local;
  rule.where = "grant " + std::string(aws_grant_name);
  return rule;
}

Result<void> check_expiry(const std::string& expires) {
  const auto end = parse_rfc3339(expires);
  if (!end || *end > system_clock().wall_ns()) return {};
  return error(Errc::denied,
               "the AWS keys that are stored expired at %s, run 'moat grant %s' again",
               expires.c_str(), std::string(aws_grant_name).c_str());
}

using Answer = std::function<void(Result<TemporaryAwsKeys>)>;

// By assuming the role again.
std::shared_ptr<void> keep_role(Loop& loop, const Config& config, const std::string& run_name,
                                const std::shared_ptr<proxy::AwsSigner>& signer,
                                const std::shared_ptr<const proxy::AwsKeys>& keys, AwsRole role,
                                const std::string& region) {
  StsRoute route;
  route.region = region;
  route.connect_to = config.connect_to;
  route.ca_files = config.upstream_ca;
  route.environment = environment_of_proxy(config.upstream_proxy, config.no_proxy);
  role.session = "moat-" + run_name;
  const auto fetcher = std::make_shared<Fetcher>(loop);
  return std::make_shared<AwsKeeper>(loop, signer, "the role " + role.arn + " cannot be assumed",
                                     [fetcher, keys, role, route](const Answer& done) {
                                       fetcher->fetch(assume_role(*keys, role, route),
                                                      [done](Result<FetchResponse> answer) {
                                                        auto of_role = read_role_keys(answer);
                                                        if (!of_role) return done(of_role.error());
                                                        done(std::move(of_role->temporary));
                                                      });
                                     });
}

Result<TemporaryAwsKeys> read_tool(Result<CommandOutput>& output) {
  if (!output) return output.error();
  if (output->status.shell() != 0) {
    const std::string_view said = trim(output->err);
    return error(Errc::refused, "it says: %s", printable(said.substr(0, 300)).c_str());
  }
  auto found = aws_keys_from_process(output->out);
  wipe(output->out);
  if (!found) return found.error();
  const auto expires = parse_rfc3339(found->expires);
  if (!expires) return error(Errc::invalid, "it gives keys without an Expiration");
  return TemporaryAwsKeys{std::move(found->keys), *expires};
}

// By asking AWS's own tool again.
std::shared_ptr<void> keep_profile(Loop& loop, const std::shared_ptr<proxy::AwsSigner>& signer,
                                   const std::string& profile, int64_t expires_ns) {
  // Its end: the next question, or that of the keeper.
  const auto running = std::make_shared<std::unique_ptr<CapturedCommand>>();
  return std::make_shared<AwsKeeper>(
      loop, signer, "'aws configure export-credentials' gives no keys",
      [&loop, running, profile](const Answer& done) {
        *running = std::make_unique<CapturedCommand>(
            loop, aws_keys_command(profile), tool_limit, largest_output,
            [done](Result<CommandOutput> output) { done(read_tool(output)); });
      },
      expires_ns);
}

}  // namespace

Secret seal_aws(const AwsCredential& credential) {
  const auto& keys = credential.keys;
  Json json = Json::object();
  json.set("access_key_id", keys.access_key)
      .set("secret_access_key", keys.secret_key.reveal())
      .set("session_token", keys.session_token.reveal())
      .set("external_id", credential.external_id);
  std::string text = json.text();
  json.wipe();
  Secret out(text);
  wipe(text);
  return out;
}

Result<AwsCredential> unseal_aws(const Secret& text) {
  auto json = Json::parse(text.reveal());
  AwsCredential out;
  if (json) {
    std::string secret = (*json)["secret_access_key"].string();
    std::string token = (*json)["session_token"].string();
    out.keys = {(*json)["access_key_id"].string(), Secret(secret), Secret(token)};
    out.external_id = (*json)["external_id"].string();
    wipe(secret);
    wipe(token);
    json->wipe();
  }
  if (out.keys.access_key.empty() || out.keys.secret_key.empty())
    return error(Errc::invalid, "what is stored for %s are no AWS keys: run 'moat grant %s' again",
                 std::string(aws_grant_name).c_str(), std::string(aws_grant_name).c_str());
  return out;
}

std::vector<Secret> aws_secrets_in(const Secret& text) {
  std::vector<Secret> secrets;
  if (!text.reveal().starts_with("{\"access_key_id\"")) return secrets;
  auto credential = unseal_aws(text);
  if (!credential) return secrets;
  secrets.push_back(std::move(credential->keys.secret_key));
  if (!credential->keys.session_token.empty())
    secrets.push_back(std::move(credential->keys.session_token));
  return secrets;
}

Result<GrantUse> use_aws_grant(const store::Sealed& sealed) {
  auto credential = unseal_aws(sealed.secret);
  if (!credential) return credential.error();
  const Json& facts = sealed.facts;
  const std::string expires = facts["expires_at"].string();
  const std::string profile =
      facts["profile"].string();  // of AWS's tool, where that is asked again
  const bool renewed = !profile.empty() && facts["role"].string().empty();
  if (auto checked = check_expiry(expires); !checked && !renewed) return checked.error();
  const std::string host = facts["host"].string();
  const std::string region = facts["region"].string();

  GrantUse use;
  use.name = aws_grant_name;
  use.source = facts["source"].string();
  use.profile = sealed.profile;
  proxy::AwsSignerSettings settings;
  settings.label = use.name;
  if (host.empty()) {
    settings.hosts.assign(std::begin(amazons_hosts), std::end(amazons_hosts));
  } else {
    settings.hosts = {host, "*." + host};  // buckets are names below it
  }
  for (const std::string& pattern : settings.hosts)
    use.hosts.push_back(rule_for(pattern, !host.empty()));
  if (host.empty()) {
    std::vector<std::string> homes = settings.hosts;
    homes.emplace_back(public_registry);
    use.hosts.push_back(rule_for(homes.back(), false));
    proxy::Injection nothing;  // but what the agent brings of its own goes, as where is signed
    nothing.label = use.name;
    nothing.host = public_registry;
    nothing.place = proxy::Injection::Place::none;
    use.injections.push_back(std::move(nothing));
    add_mintings(use, homes);
  }
  settings.credential_headers = credential_headers();
  settings.placeholder = proxy::placeholder_aws_keys();
  use.placeholder = {use.name, settings.placeholder.access_key, settings.hosts};
  use.env = {{"AWS_ACCESS_KEY_ID", settings.placeholder.access_key},
             {"AWS_SECRET_ACCESS_KEY", std::string(settings.placeholder.secret_key.reveal())}};
  if (!region.empty()) {
    use.env.emplace_back("AWS_REGION", region);
    use.env.emplace_back("AWS_DEFAULT_REGION", region);
  }
  if (!host.empty()) use.env.emplace_back("AWS_ENDPOINT_URL", "https://" + host);

  const auto signer = std::make_shared<proxy::AwsSigner>(std::move(settings));
  use.signer = signer;
  use.secrets = aws_secrets_in(sealed.secret);
  AwsRole role;
  role.arn = facts["role"].string();
  role.external_id = credential->external_id;
  role.seconds = static_cast<int>(facts["session_duration"].integer(role.seconds));
  if (renewed) {
    const int64_t end = parse_rfc3339(expires) ? *parse_rfc3339(expires) : 0;
    if (end > system_clock().wall_ns()) signer->set_keys(std::move(credential->keys));
    use.attend = [signer, profile, end](Loop& loop, const Config&, const std::string&) {
      return keep_profile(loop, signer, profile, end);
    };
    return use;
  }
  if (role.arn.empty()) {
    signer->set_keys(std::move(credential->keys));
    return use;
  }
  const auto keys = std::make_shared<const proxy::AwsKeys>(std::move(credential->keys));
  use.attend = [signer, keys, role, region](Loop& loop, const Config& config,
                                            const std::string& run_name) {
    return keep_role(loop, config, run_name, signer, keys, role, region);
  };
  return use;
}

}  // namespace moat
