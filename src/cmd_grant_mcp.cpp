#include "cmd_grant_mcp.h"

#include <unistd.h>

#include <cstdio>
#include <map>
#include <optional>
#include <utility>

#include "code_login.h"
#include "command_loop.h"
#include "core/clock.h"
#include "core/text.h"
#include "device_flow.h"
#include "grant.h"
#include "grant_facts.h"
#include "grant_options.h"
#include "mcp_grant.h"
#include "oauth_discovery.h"
#include "print.h"
#include "prompt.h"
#include "token_source.h"

namespace moat {
namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr size_t long_enough = 20;  // for four characters of a token to give nothing away

struct McpPlan {
  std::string name;
  std::string profile;
  OAuthUrl url;
  Json before = Json::object();  // the facts of what is stored already
  std::map<std::string, std::string> connect_to;
  std::string ca_file;
  uint16_t redirect_port = 0;  // any
  std::string scopes;          // "": as the server says
  bool json = false;
};

// What is not said is as it was, so that granting again takes no more than the name.
std::string value_of(const Arguments& arguments, const McpPlan& plan, const char* option,
                     const char* fact, const std::string& usual = "") {
  return arguments.value(option).value_or(plan.before[fact].string(usual));
}

Result<McpPlan> make_plan(const Arguments& arguments, store::Vault& vault,
                          const std::string& profile) {
  McpPlan plan;
  plan.name = arguments.operands()[0];
  plan.profile = profile;
  if (auto good = check_mcp_grant(plan.name); !good) return good.error();
  if (auto stored = vault.get(plan.name, profile)) plan.before = std::move(stored->facts);
  const std::string text = value_of(arguments, plan, "url", "url");
  if (text.empty())
    return error(Errc::invalid, "%s: say where the server is with --url, such as %s",
                 plan.name.c_str(), "https://mcp.example.com/mcp");
  auto url = parse_oauth_url(text, "--url");
  if (!url) return url.error();
  if (!url->secure())
    return error(Errc::invalid,
                 "--url: '%s' is not https://, and a credential goes on no other requests",
                 printable(text.substr(0, 200)).c_str());
  plan.url = std::move(*url);
  auto connect_to = read_connect_to(arguments);
  if (!connect_to) return connect_to.error();
  plan.connect_to = std::move(*connect_to);
  plan.ca_file = arguments.value("upstream-ca").value_or("");
  if (const auto port = arguments.value("redirect-port")) {
    const auto number = parse_number(*port, 1, 65535);
    if (!number)
      return error(Errc::invalid, "--redirect-port: '%s' is not a port",
                   printable(port->substr(0, 64)).c_str());
    plan.redirect_port = static_cast<uint16_t>(*number);
  }
  plan.scopes = arguments.value("scopes").value_or("");
  if (!is_scopes(plan.scopes))
    return error(Errc::invalid, "--scopes: '%s' are not words with blanks between them",
                 printable(plan.scopes.substr(0, 64)).c_str());
  plan.json = arguments.has("json");
  return plan;
}

void say(const McpPlan& plan, const std::string& line) {
  FILE* to = plan.json ? stderr : stdout;
  fprintf(to, "%s\n", line.c_str());
  fflush(to);
}

// What both kinds of grants have.
store::Sealed sealed_of(const McpPlan& plan, Secret secret, const std::string& source,
                        const std::string& header, const std::string& prefix) {
  store::Sealed sealed;
  sealed.name = plan.name;
  sealed.profile = plan.profile;
  sealed.facts = Json::object();
  sealed.facts.set("provider", plan.name.substr(0, plan.name.find(':')))
      .set("host", plan.url.host)
      .set("url", plan.url.text)
      .set("source", source)
      .set("header", header)
      .set("prefix", prefix)
      .set("checked", false)
      .set("stored_at", rfc3339(system_clock().wall_ns()));
  if (secret.size() >= long_enough)
    sealed.facts.set("last_four", secret.reveal().substr(secret.size() - 4));
  sealed.secret = std::move(secret);
  return sealed;
}

// --- mcp:NAME ------------------------------------------------------------------------------------

Result<Secret> token_for(const Arguments& arguments, const McpPlan& plan) {
  if (arguments.has("token-stdin")) {
    auto given = token_from_input(STDIN_FILENO);
    if (!given) return given.error();
    return std::move(given->token);
  }
  auto typed = ask_secret("Token for " + plan.url.host + ": ");
  if (!typed)
    return error(Errc::not_found, "%s: there is no terminal to ask for the token: give it with %s",
                 plan.name.c_str(), "--token-stdin");
  if (!looks_like_token(typed->reveal()))
    return error(Errc::invalid, "what was typed is no token: it must be one word");
  return std::move(*typed);
}

Result<store::Sealed> fixed_token(const Arguments& arguments, const McpPlan& plan) {
  const std::string header = value_of(arguments, plan, "header", "header", "Authorization");
  if (!may_carry_credential(header))
    return error(Errc::invalid, "--header: '%s' is not a header for a credential",
                 printable(header.substr(0, 64)).c_str());
  // With a header of another name, that of before says nothing.
  const bool same = !arguments.has("header") || header == plan.before["header"].string();
  const bool bearer = equals_ignoring_case(header, "Authorization");
  std::string prefix = bearer ? "Bearer " : "";
  if (same) prefix = plan.before["prefix"].string(prefix);
  prefix = arguments.value("prefix").value_or(prefix);
  for (const char c : prefix) {
    if (c < 0x20 || c >= 0x7f)
      return error(Errc::invalid, "--prefix: it cannot be sent in a header");
  }
  auto token = token_for(arguments, plan);
  if (!token) return token.error();
  const char* source = arguments.has("token-stdin") ? "standard input" : "terminal";
  return sealed_of(plan, std::move(*token), source, header, prefix);
}

// --- oauth:NAME ----------------------------------------------------------------------------------

class OAuthGrant {
 public:
  OAuthGrant(const Arguments& arguments, const McpPlan& plan)
      : arguments_(arguments), plan_(plan) {}

  [[nodiscard]] int interrupted() const { return waiting_.interrupted(); }
  void look_for_signals() { waiting_.look_for_signals(); }

  Result<store::Sealed> obtain() {
    const Ask ask = [this](FetchRequest request) {
      request.connect_to = plan_.connect_to;
      request.ca_file = plan_.ca_file;
      return waiting_.ask(std::move(request));
    };
    auto service = discover(ask, plan_.url);
    if (!service) return service.error();
    if (!plan_.scopes.empty()) service->scopes = plan_.scopes;
    RedirectPlace place;
    place.port = plan_.redirect_port;
    // Before the client is registered, for it is registered with the port.
    auto listener = RedirectListener::open(waiting_.loop(), place);
    if (!listener) return listener.error();
    auto client = client_for(ask, *service, (*listener)->uri());
    if (!client) return client.error();
    return log_in(*service, *client, std::move(*listener));
  }

 private:
  // One that was given by hand for this server is used again; one that a server has registered was
  // for one port.
  Result<OAuthClient> client_for(const Ask& ask, const OAuthService& service,
                                 const std::string& redirect_uri) {
    const bool by_hand =
        !plan_.before["registered"].boolean(true) && plan_.before["url"].string() == plan_.url.text;
    const std::string id =
        arguments_.value("client-id").value_or(by_hand ? plan_.before["client_id"].string() : "");
    if (id.empty()) {
      registered_ = true;
      return register_client(ask, service, redirect_uri, service.scopes);
    }
    OAuthClient client;
    client.id = id;
    return client;
  }

  Result<store::Sealed> log_in(const OAuthService& service, const OAuthClient& client,
                               std::unique_ptr<RedirectListener> listener) {
    CodeFlowSettings flow;
    flow.title = plan_.name;
    flow.url = service.server.authorization_url;
    flow.token_url = service.server.token_url;
    flow.client_id = client.id;
    flow.client_secret = client.secret;
    flow.basic = client.basic;
    flow.scopes = service.scopes;
    flow.resource = service.resource;
    flow.issuer = service.server.issuer;
    flow.tells_issuer = service.server.tells_issuer;
    flow.connect_to = plan_.connect_to;
    flow.ca_file = plan_.ca_file;
    flow.objection = service.objection;
    auto answer = log_in_by_code(waiting_.loop(), waiting_.fetcher(), std::move(flow),
                                 std::move(listener), !arguments_.has("no-browser"),
                                 [this](const std::string& line) { say(plan_, line); });
    if (!answer) return CommandLoop::given_up();
    if (!*answer) return answer->error();
    return kept(service, client, std::move(**answer));
  }

  Result<store::Sealed> kept(const OAuthService& service, const OAuthClient& client,
                             TokenAnswer answer) const {
    store::Sealed sealed = sealed_of(plan_, std::move(answer.access_token), "authorization code",
                                     "Authorization", "Bearer ");
    sealed.refresh_token = std::move(answer.refresh_token);
    sealed.facts.set("scopes", answer.scopes.empty() ? service.scopes : answer.scopes)
        .set("issuer", service.server.issuer)
        .set("resource", service.resource)
        .set("token_url", service.server.token_url)
        .set("client_id", client.id)
        .set("registered", registered_)
        .set("local", *service.local);
    if (!client.secret.empty()) {
      sealed.facts.set("client_secret", client.secret);
      if (client.basic) sealed.facts.set("client_auth", "basic");
    }
    if (!service.server.revocation_url.empty())
      sealed.facts.set("revoke_url", service.server.revocation_url);
    if (answer.lifetime > 0)
      sealed.facts.set("expires_at",
                       rfc3339(system_clock().wall_ns() + answer.lifetime * second_ns));
    return sealed;
  }

  const Arguments& arguments_;
  const McpPlan& plan_;
  bool registered_ = false;
  CommandLoop waiting_;
};

int keep(const McpPlan& plan, store::Vault& vault, const store::Sealed& sealed) {
  if (auto stored = vault.put(sealed); !stored) return complain(stored.error());
  Output out;
  out.line(plan.json ? shown_facts(sealed).text()
                     : plan.name + " credential saved, for " + plan.url.host);
  return out.finish(exit_ok);
}

}  // namespace

int grant_mcp(const Arguments& arguments, store::Vault& vault, const std::string& profile) {
  const auto plan = make_plan(arguments, vault, profile);
  if (!plan) return complain(plan.error(), exit_usage);
  if (!is_oauth_grant(plan->name)) {
    const auto sealed = fixed_token(arguments, *plan);
    if (!sealed) return complain(sealed.error());
    return keep(*plan, vault, *sealed);
  }
  OAuthGrant granting(arguments, *plan);
  const auto sealed = granting.obtain();
  granting.look_for_signals();
  if (granting.interrupted() != 0) return 128 + granting.interrupted();
  if (!sealed) return complain(sealed.error().in(plan->name));
  return keep(*plan, vault, *sealed);
}

}  // namespace moat
