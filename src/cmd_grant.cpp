// moat grant: obtain a credential, try it, and seal it in the vault.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "aws_grant.h"
#include "command.h"
#include "config_reader.h"
#include "core/clock.h"
#include "core/fetch.h"
#include "core/text.h"
#include "device_flow.h"
#include "grant.h"
#include "print.h"
#include "token_source.h"
#include "user_config.h"

namespace moat {

namespace {

// All that flags, variables and config.yaml say, settled before anything happens.
struct Plan {
  const Provider* provider = nullptr;
  const ProviderSite* site = nullptr;
  std::string host;
  DeviceFlowSettings device;
  std::string check_url;  // "": not to be checked
  bool from_input = false;
  bool json = false;
};

// What the service says about a token that it takes.
struct Checked {
  std::string login;
  std::string scopes;
};

Result<std::map<std::string, std::string>> read_connect_to(const Arguments& arguments) {
  std::map<std::string, std::string> routes;
  for (const std::string& text : arguments.values("connect-to")) {
    const size_t equals = text.find('=');
    if (equals == text.npos)
      return error(Errc::invalid, "--connect-to: '%s' is not HOST:PORT=ADDR:PORT",
                   printable(text).c_str());
    const auto from = parse_endpoint(std::string_view(text).substr(0, equals));
    if (!from) return from.error().in("--connect-to");
    const auto to = parse_endpoint(std::string_view(text).substr(equals + 1));
    if (!to) return to.error().in("--connect-to");
    routes[*from] = *to;
  }
  return routes;
}

// The flag where it was given, else the provider's own for this host.
Result<std::string> endpoint(const Arguments& arguments, const char* option, const char* usual,
                             const std::string& host) {
  const std::string url = arguments.value(option).value_or(for_host(usual, host));
  if (auto ok = check_endpoint(url, std::string("--") + option); !ok) return ok.error();
  return url;
}

std::string find_client_id(const Arguments& arguments, const Provider& provider,
                           const ProviderSettings& settings) {
  if (const auto flag = arguments.value("client-id")) return *flag;
  const char* variable = getenv(provider.client_id_variable);
  if (variable != nullptr && *variable != '\0') return variable;
  if (!settings.client_id.empty()) return settings.client_id;
  return provider.client_id == nullptr ? "" : provider.client_id;
}

Result<Plan> make_plan(const Arguments& arguments, const Home& home) {
  Plan plan;
  const std::string& name = arguments.operands()[0];
  plan.provider = find_provider(name);
  if (plan.provider == nullptr) return Error{Errc::invalid, unknown_provider(name)};
  const Provider& provider = *plan.provider;
  const auto config = user_config(home.root);
  if (!config) return config.error();
  const ProviderSettings settings = config->provider(provider.name);
  const std::string usual = settings.host.empty() ? provider.host : settings.host;
  auto host = parse_server_host(arguments.value("host").value_or(usual),
                                arguments.has("host") ? "--host" : "config.yaml: host");
  if (!host) return host.error();
  plan.host = std::move(*host);
  plan.site = &site_for(provider, plan.host);
  plan.from_input = arguments.has("token-stdin");
  plan.json = arguments.has("json");

  auto device_url = endpoint(arguments, "device-url", provider.device_url, plan.host);
  if (!device_url) return device_url.error();
  auto token_url = endpoint(arguments, "token-url", provider.token_url, plan.host);
  if (!token_url) return token_url.error();
  auto check_url = endpoint(arguments, "check-url", plan.site->check_url, plan.host);
  if (!check_url) return check_url.error();
  auto connect_to = read_connect_to(arguments);
  if (!connect_to) return connect_to.error();

  plan.device.title = provider.title;
  plan.device.device_url = std::move(*device_url);
  plan.device.token_url = std::move(*token_url);
  plan.device.client_id = find_client_id(arguments, provider, settings);
  plan.device.scopes = provider.scopes;
  // An endpoint of the person's own may send them wherever it says.
  if (!arguments.has("device-url"))
    plan.device.verification_host = for_host(provider.verification_host, plan.host);
  plan.device.connect_to = std::move(*connect_to);
  plan.device.ca_file = arguments.value("upstream-ca").value_or("");
  if (!arguments.has("no-check")) plan.check_url = std::move(*check_url);
  return plan;
}

// Says what stands between a person and a token when nothing else is left.
Error no_way_to_a_token(const Plan& plan) {
  std::string places;
  for (const char* variable : plan.site->variables)
    places += (places.empty() ? "" : " or ") + std::string(variable);
  return error(Errc::not_found,
               "no token is in %s, and to log in at %s moat needs the id of an OAuth client: %s "
               "into --client-id, %s or config.yaml, or give a token with --token-stdin",
               places.c_str(), plan.host.c_str(),
               for_host(plan.provider->client_id_advice, plan.host).c_str(),
               plan.provider->client_id_variable);
}

// One turn of the command, step by step, each waiting on the loop.
class Granting {
 public:
  explicit Granting(const Plan& plan) : plan_(plan) {}

  // Non-zero after a signal has ended the waiting.
  [[nodiscard]] int interrupted() const { return interrupted_; }

  Result<FoundToken> obtain() {
    auto found = token_from_environment(*plan_.site);
    if (!found) return found.error();
    if (!*found) *found = ask_commands();
    if (*found) {
      say("Using the token from " + (*found)->source);
      return std::move(**found);
    }
    if (interrupted_ != 0) return given_up();
    if (plan_.device.client_id.empty()) return no_way_to_a_token(plan_);
    return log_in();
  }

  Result<Checked> check(const Secret& token) {
    FetchRequest request;
    request.url = plan_.check_url;
    request.bearer = token.clone();
    request.headers = {{"Accept", "application/json"}, {"User-Agent", "moat"}};
    request.ca_file = plan_.device.ca_file;
    request.connect_to = plan_.device.connect_to;
    request.max_body = 256 * 1024;
    std::optional<Result<FetchResponse>> answer;
    fetcher_.fetch(std::move(request), [&](Result<FetchResponse> response) {
      answer.emplace(std::move(response));
      loop_.stop();
    });
    loop_.run();
    if (!answer) return given_up();
    return judge(*answer);
  }

  // A signal that came just now still counts.
  void look_for_signals() { loop_.turn(Milliseconds(0)); }

 private:
  static Error given_up() { return Error{Errc::closed, "interrupted"}; }

  void interrupt(int number) {
    interrupted_ = number;
    loop_.stop();
  }

  // For the person; with --json, standard output is for the program alone.
  void say(const std::string& line) const {
    FILE* to = plan_.json ? stderr : stdout;
    fprintf(to, "%s\n", line.c_str());
    fflush(to);
  }

  std::optional<FoundToken> ask_commands() {
    std::optional<FoundToken> result;
    const TokenCommands commands(loop_, *plan_.site, plan_.host,
                                 [&](std::optional<FoundToken> found) {
                                   result = std::move(found);
                                   loop_.stop();
                                 });
    loop_.run();
    return result;
  }

  Result<FoundToken> log_in() {
    std::optional<Result<Secret>> result;
    const auto show = [this](const DevicePrompt& prompt) {
      say("To authorize, visit: " + prompt.url);
      say("Enter code: " + prompt.code);
      say("Waiting for authorization...");
    };
    const DeviceFlow flow(loop_, fetcher_, plan_.device, show, [&](Result<Secret> token) {
      result.emplace(std::move(token));
      loop_.stop();
    });
    loop_.run();
    if (!result) return given_up();
    if (!*result) return result->error();
    return FoundToken{std::move(**result), "device flow"};
  }

  Result<Checked> judge(const Result<FetchResponse>& answer) const {
    const std::string host = host_of_url(plan_.check_url);
    if (!answer)
      return error(answer.error().code,
                   "cannot reach %s to check the token: %s; to store it without a check, use "
                   "--no-check",
                   host.c_str(), answer.error().message.c_str());
    if (answer->status == 401)
      return error(Errc::refused,
                   "%s does not accept this token (401): it is wrong, expired or revoked; nothing "
                   "was stored",
                   host.c_str());
    if (answer->status == 403)
      return error(Errc::refused,
                   "%s forbids this token to ask who it is (403): if it belongs to an app or a "
                   "workflow, store it with --no-check; nothing was stored",
                   host.c_str());
    if (answer->status != 200)
      return error(Errc::refused,
                   "%s answered the check of the token with %d; try again later, or store it "
                   "without a check by --no-check",
                   host.c_str(), answer->status);
    Checked checked;
    if (const auto json = Json::parse(answer->body))
      checked.login = printable((*json)["login"].string().substr(0, 100));
    if (const auto scopes = answer->headers.find("x-oauth-scopes"); scopes != answer->headers.end())
      checked.scopes = printable(scopes->second.substr(0, 300));
    return checked;
  }

  const Plan& plan_;
  int interrupted_ = 0;
  Loop loop_;
  Signal interrupt_{loop_, SIGINT, [this] { interrupt(SIGINT); }};
  Signal terminate_{loop_, SIGTERM, [this] { interrupt(SIGTERM); }};
  Signal hang_up_{loop_, SIGHUP, [this] { interrupt(SIGHUP); }};
  Fetcher fetcher_{loop_};
};

// What may be shown of a credential; the vault keeps it beside the secret.
Json facts_of(const Plan& plan, const FoundToken& found, const Checked& checked) {
  Json facts = Json::object();
  facts.set("provider", plan.provider->name)
      .set("host", plan.host)
      .set("source", found.source)
      .set("login", checked.login)
      .set("scopes", checked.scopes)
      .set("checked", !plan.check_url.empty())
      .set("stored_at", rfc3339(system_clock().wall_ns()));
  // Four characters of a long token tell two apart, and give nothing away.
  if (found.token.size() >= 20)
    facts.set("last_four", found.token.reveal().substr(found.token.size() - 4));
  return facts;
}

int grant(const Plan& plan, store::Vault& vault) {
  std::optional<FoundToken> found;
  if (plan.from_input) {
    // Before there are handlers, so that Ctrl-C ends a read that waits.
    auto given = token_from_input(STDIN_FILENO);
    if (!given) return complain(given.error());
    found = std::move(*given);
  }
  Granting granting(plan);
  const auto failed = [&](const Error& error) {
    return granting.interrupted() != 0 ? 128 + granting.interrupted() : complain(error);
  };
  if (!found) {
    auto obtained = granting.obtain();
    if (!obtained) return failed(obtained.error());
    found = std::move(*obtained);
  }
  Checked checked;
  if (!plan.check_url.empty()) {
    auto result = granting.check(found->token);
    if (!result) return failed(result.error());
    checked = std::move(*result);
  }
  granting.look_for_signals();
  if (granting.interrupted() != 0) return 128 + granting.interrupted();

  store::Sealed sealed;
  sealed.name = plan.provider->name;
  sealed.facts = facts_of(plan, *found, checked);
  sealed.secret = std::move(found->token);
  if (auto stored = vault.put(sealed); !stored) return complain(stored.error());
  Output out;
  out.line(plan.json ? sealed.facts.text()
                     : std::string(plan.provider->title) + " credential saved successfully");
  return out.finish(exit_ok);
}

}  // namespace

int cmd_grant(const Arguments& arguments) {
  if (arguments.operands().empty()) {
    std::string known;
    for (const Provider& provider : providers())
      known += (known.empty() ? "" : ", ") + std::string(provider.name);
    known += ", " + std::string(aws_grant_name);
    return complain(error(Errc::invalid, "say what to grant: %s", known.c_str()), exit_usage);
  }
  const auto home = open_home();
  if (!home) return complain(home.error());
  if (arguments.operands()[0] == aws_grant_name) return grant_aws(arguments, *home);
  for (const char* option : {"aws-profile", "role", "external-id", "session-duration", "region"}) {
    if (arguments.has(option))
      return complain(error(Errc::invalid, "--%s is for 'moat grant aws' only", option),
                      exit_usage);
  }
  const auto plan = make_plan(arguments, *home);
  if (!plan) return complain(plan.error(), exit_usage);
  // First, so that nobody logs in for a credential that then cannot be kept.
  auto vault = store::Vault::open(home->root);
  if (!vault) return complain(vault.error());
  return grant(*plan, *vault);
}

}  // namespace moat
