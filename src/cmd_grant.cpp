// moat grant: obtain a credential, try it, and seal it in the vault.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "aws_grant.h"
#include "cmd_grant_mcp.h"
#include "cmd_grant_ssh.h"
#include "code_login.h"
#include "command.h"
#include "command_loop.h"
#include "core/clock.h"
#include "core/fetch.h"
#include "core/text.h"
#include "device_flow.h"
#include "grant.h"
#include "grant_facts.h"
#include "grant_options.h"
#include "login_file.h"
#include "mcp_grant.h"
#include "print.h"
#include "ssh_grant.h"
#include "token_source.h"
#include "user_config.h"
#include "vault_access.h"

namespace moat {

namespace {

// All that flags, variables and config.yaml say, settled before anything happens.
struct Plan {
  std::string name;  // of the grant: "npm", "npm:npm.example.com"
  const Provider* provider = nullptr;
  const ProviderSite* site = nullptr;
  std::string host;
  std::optional<DeviceFlowSettings> device;
  std::optional<CodeLogin> code;
  std::map<std::string, std::string> connect_to;
  std::string ca_file;
  std::string check_url;  // of --check-url, or ""
  std::string profile;
  bool check = true;
  bool from_input = false;
  bool take_refresh_token = false;
  bool json = false;
};

// What the service says about a token that it takes.
struct Checked {
  std::string login;
  std::string scopes;
};

// The flag where it was given, else the provider's own for this host.
Result<std::string> endpoint(const Arguments& arguments, const char* option,
                             const std::string& usual, const std::string& host) {
  const std::string url = arguments.value(option).value_or(for_host(usual, host));
  if (auto ok = check_endpoint(url, std::string("--") + option); !ok) return ok.error();
  return url;
}

// `way` is the provider's device flow, or its login with a browser.
template <class Way>
std::string find_client_id(const Arguments& arguments, const Way& way,
                           const ProviderSettings& settings) {
  if (const auto flag = arguments.value("client-id")) return *flag;
  const char* variable = getenv(way.client_id_variable.c_str());
  if (variable != nullptr && *variable != '\0') return variable;
  return settings.client_id.empty() ? way.client_id : settings.client_id;
}

void plan_code_flow(Plan& plan, const Arguments& arguments, const ProviderSettings& settings) {
  const auto& code = plan.provider->code;
  if (!code) return;
  plan.code = code_login_of(*plan.provider, plan.host, find_client_id(arguments, *code, settings));
  plan.code->flow.connect_to = plan.connect_to;
  plan.code->flow.ca_file = plan.ca_file;
  plan.code->browser = !arguments.has("no-browser");
}

Result<void> plan_device_flow(Plan& plan, const Arguments& arguments,
                              const ProviderSettings& settings) {
  const auto& device = plan.provider->device;
  for (const char* option : {"device-url", "token-url", "client-id"}) {
    const bool of_code = plan.provider->code && std::string_view(option) == "client-id";
    if (!device && !of_code && arguments.has(option))
      return error(Errc::invalid, "--%s: %s has no device flow", option,
                   plan.provider->title.c_str());
  }
  if (!device) return {};
  auto device_url = endpoint(arguments, "device-url", device->url, plan.host);
  if (!device_url) return device_url.error();
  auto token_url = endpoint(arguments, "token-url", device->token_url, plan.host);
  if (!token_url) return token_url.error();
  DeviceFlowSettings& flow = plan.device.emplace();
  flow.title = plan.provider->title;
  flow.device_url = std::move(*device_url);
  flow.token_url = std::move(*token_url);
  flow.client_id = find_client_id(arguments, *device, settings);
  flow.scopes = device->scopes;
  // An endpoint of the person's own may send them wherever it says.
  if (!arguments.has("device-url"))
    flow.verification_host = for_host(device->verification_host, plan.host);
  flow.connect_to = plan.connect_to;
  flow.ca_file = plan.ca_file;
  return {};
}

Result<Plan> make_plan(const Arguments& arguments, const Home& home) {
  Plan plan;
  const std::string& name = arguments.operands()[0];
  const auto config = user_config(home.root);
  if (!config) return config.error();
  plan.provider = find_provider(name);
  if (plan.provider == nullptr) return Error{Errc::invalid, unknown_provider(name)};
  const Provider& provider = *plan.provider;
  const ProviderSettings settings = config->provider(provider.name);
  plan.name = name;
  const std::string_view server = server_in(name);
  if (!server.empty() && arguments.has("host"))
    return error(Errc::invalid, "--host: '%s' says already which server it is for", name.c_str());
  const std::string usual = !server.empty()         ? std::string(server)
                            : settings.host.empty() ? provider.host
                                                    : settings.host;
  const char* where = arguments.has("host") ? "--host"
                      : server.empty()      ? "config.yaml: host"
                                            : name.c_str();
  auto host = parse_server_host(arguments.value("host").value_or(usual), where);
  if (!host) return host.error();
  plan.host = std::move(*host);
  plan.site = site_for(provider, plan.host);
  if (plan.site == nullptr)
    return error(Errc::invalid, "%s: %s is on %s only", where, provider.title.c_str(),
                 provider.host.c_str());
  plan.profile = profile_of(arguments);
  plan.from_input = arguments.has("token-stdin");
  plan.take_refresh_token = arguments.has("take-refresh-token");
  plan.json = arguments.has("json");
  plan.check = !arguments.has("no-check");
  auto check_url = endpoint(arguments, "check-url", "https://check.example", plan.host);
  if (!check_url) return check_url.error();
  if (arguments.has("check-url")) plan.check_url = std::move(*check_url);
  auto connect_to = read_connect_to(arguments);
  if (!connect_to) return connect_to.error();
  plan.connect_to = std::move(*connect_to);
  plan.ca_file = arguments.value("upstream-ca").value_or("");
  if (auto planned = plan_device_flow(plan, arguments, settings); !planned) return planned.error();
  plan_code_flow(plan, arguments, settings);
  return plan;
}

// Says what stands between a person and a token when nothing else is left.
Error no_way_to_a_token(const Plan& plan) {
  std::string places;
  for (const TokenSource& source : plan.site->sources) {
    std::string place = source.text;
    if (source.kind == TokenSource::Kind::prompt || source.kind == TokenSource::Kind::command)
      continue;
    places += (places.empty() ? "" : " or ") + for_host(place, plan.host);
  }
  if (places.empty()) places = "any place that is looked at";
  if (!plan.device && !plan.code)
    return error(Errc::not_found, "no token is in %s: give one with --token-stdin", places.c_str());
  if (!plan.device)
    return error(Errc::not_found,
                 "no token is in %s, and to log in at %s moat needs the id of an OAuth client, in "
                 "--client-id, %s or config.yaml; or give a token with --token-stdin",
                 places.c_str(), plan.host.c_str(),
                 plan.provider->code->client_id_variable.empty()
                     ? "its provider's file"
                     : plan.provider->code->client_id_variable.c_str());
  const ProviderDevice& device = *plan.provider->device;
  return error(Errc::not_found,
               "no token is in %s, and to log in at %s moat needs the id of an OAuth client: %s "
               "into --client-id, %s or config.yaml, or give a token with --token-stdin",
               places.c_str(), plan.host.c_str(),
               for_host(device.client_id_advice, plan.host).c_str(),
               device.client_id_variable.c_str());
}

// A check's request: the credential at the place where the proxy would put it.
Result<FetchRequest> check_request(const Plan& plan, const TokenCheck& check,
                                   const store::Sealed& sealed) {
  auto use = use_grant(*plan.provider, sealed);
  if (!use) return use.error();
  const std::string usual = for_host(check.url, plan.host);
  const std::string usual_host = host_of_url(usual);
  std::string url = plan.check_url.empty() ? usual : plan.check_url;
  const size_t path_at = std::min(url.find('/', url.find("://") + 3), url.size());
  std::string path = path_at == url.size() ? "/" : url.substr(path_at);
  url.resize(path_at);
  // Where the person sends it elsewhere, it goes as it would to the usual place.
  proxy::Headers headers;
  const proxy::Injector injector(std::move(use->injections), {});
  const auto applied = injector.apply("https", usual_host, headers, path);
  if (applied.labels.empty())
    return error(Errc::invalid,
                 "the credential has no place in a request to %s, on which it is "
                 "tried: use --no-check",
                 usual_host.c_str());
  FetchRequest request;
  request.url = url + path;
  wipe(path);
  request.headers = {{"Accept", "application/json"}, {"User-Agent", "moat"}};
  for (const auto& [name, value] : check.headers) request.headers.emplace_back(name, value);
  for (proxy::Header& header : headers) {
    request.secret_headers.emplace_back(header.name, Secret(header.value));
    wipe(header.value);
  }
  request.ca_file = plan.ca_file;
  request.connect_to = plan.connect_to;
  request.max_body = 256 * 1024;
  return request;
}

// One turn of the command, step by step, each waiting on the loop.
class Granting {
 public:
  explicit Granting(const Plan& plan) : plan_(plan) {}

  // Non-zero after a signal has ended the waiting.
  [[nodiscard]] int interrupted() const { return waiting_.interrupted(); }

  Result<FoundToken> obtain() {
    for (const TokenSource& source : plan_.site->sources) {
      auto found = look_at(source);
      if (!found) return found.error();
      if (interrupted() != 0) return CommandLoop::given_up();
      if (!*found) continue;
      if (source.kind != TokenSource::Kind::prompt) say("Using the token from " + (*found)->source);
      return std::move(**found);
    }
    if (plan_.device && !plan_.device->client_id.empty()) return log_in();
    if (plan_.code && !plan_.code->flow.client_id.empty()) return log_in_with_browser();
    return no_way_to_a_token(plan_);
  }

  Result<Checked> check(const TokenCheck& check, const store::Sealed& sealed) {
    auto request = check_request(plan_, check, sealed);
    if (!request) return request.error();
    const std::string host = host_of_url(request->url);
    const auto answer = waiting_.ask(std::move(*request));
    if (interrupted() != 0) return CommandLoop::given_up();
    return judge(check, host, answer);
  }

  void look_for_signals() { waiting_.look_for_signals(); }

 private:
  // For the person; with --json, standard output is for the program alone.
  void say(const std::string& line) const {
    FILE* to = plan_.json ? stderr : stdout;
    fprintf(to, "%s\n", line.c_str());
    fflush(to);
  }

  Result<std::optional<FoundToken>> look_at(const TokenSource& source) {
    switch (source.kind) {
      case TokenSource::Kind::variable:
      case TokenSource::Kind::file:
        return token_from_machine(source, plan_.host);
      case TokenSource::Kind::command:
        return ask_command(source);
      case TokenSource::Kind::prompt:
        break;
    }
    if (!can_prompt()) return std::optional<FoundToken>();
    return ask_person(source);
  }

  std::optional<FoundToken> ask_command(const TokenSource& source) {
    std::optional<FoundToken> result;
    const TokenCommand command(loop_, source, plan_.host, [&](std::optional<FoundToken> found) {
      result = std::move(found);
      loop_.stop();
    });
    loop_.run();
    return result;
  }

  Result<std::optional<FoundToken>> ask_person(const TokenSource& source) {
    std::optional<Result<FoundToken>> result;
    const TokenPrompt prompt(loop_, for_host(source.text, plan_.host),
                             [&](Result<FoundToken> typed) {
                               result.emplace(std::move(typed));
                               loop_.stop();
                             });
    loop_.run();
    if (!result) return std::optional<FoundToken>();  // interrupted
    if (!*result) return result->error();
    return std::optional<FoundToken>(std::move(**result));
  }

  Result<FoundToken> log_in() {
    std::optional<Result<TokenAnswer>> result;
    const auto show = [this](const DevicePrompt& prompt) {
      say("To authorize, visit: " + prompt.url);
      say("Enter code: " + prompt.code);
      say("Waiting for authorization...");
    };
    const DeviceFlow flow(loop_, fetcher_, *plan_.device, show, [&](Result<TokenAnswer> token) {
      result.emplace(std::move(token));
      loop_.stop();
    });
    loop_.run();
    if (!result) return CommandLoop::given_up();
    if (!*result) return result->error();
    return found_by("device flow", **result, plan_.device->token_url, plan_.device->client_id);
  }

  Result<FoundToken> log_in_with_browser() {
    const CodeLogin& code = *plan_.code;
    auto listener = RedirectListener::open(loop_, code.place);
    if (!listener) return listener.error();
    auto answer = log_in_by_code(loop_, fetcher_, code.flow, std::move(*listener), code.browser,
                                 [this](const std::string& line) { say(line); });
    if (!answer) return CommandLoop::given_up();
    if (!*answer) return answer->error();
    FoundToken found =
        found_by("authorization code", **answer, code.flow.token_url, code.flow.client_id);
    found.client_secret = code.flow.client_secret;
    if (code.flow.json) found.token_form = "json";
    // A service may want another form where a login is renewed than where it begins.
    const ProviderSite* site = site_for(*plan_.provider, plan_.host, found.token.reveal());
    if (site != nullptr && site->refresh && site->refresh->client_id == found.client_id) {
      found.token_url = for_host(site->refresh->token_url, plan_.host);
      found.token_form = site->refresh->token_form;
    }
    return found;
  }

  static FoundToken found_by(const char* way, TokenAnswer& answer, const std::string& token_url,
                             const std::string& client_id) {
    FoundToken found;
    found.token = std::move(answer.access_token);
    found.source = way;
    found.scopes = answer.scopes;
    if (answer.lifetime > 0)
      found.expires_at = rfc3339(system_clock().wall_ns() + answer.lifetime * 1'000'000'000);
    if (!answer.refresh_token.empty()) {
      found.refresh_token = std::move(answer.refresh_token);
      found.token_url = token_url;
      found.client_id = client_id;
    }
    return found;
  }

  static Result<Checked> judge(const TokenCheck& check, const std::string& host,
                               const Result<FetchResponse>& answer) {
    if (!answer)
      return error(answer.error().code,
                   "cannot reach %s to check the token: %s; to store it without a check, use "
                   "--no-check",
                   host.c_str(), answer.error().message.c_str());
    const bool good = answer->status == check.status;
    if (answer->status == 401 && !good)
      return error(Errc::refused,
                   "%s does not accept this token (401): it is wrong, expired or revoked; nothing "
                   "was stored",
                   host.c_str());
    if (answer->status == 403 && !good)
      return error(Errc::refused,
                   "%s forbids this token to ask who it is (403): if it belongs to an app or a "
                   "workflow, store it with --no-check; nothing was stored",
                   host.c_str());
    if (!good)
      return error(Errc::refused,
                   "%s answered the check of the token with %d; try again later, or store it "
                   "without a check by --no-check",
                   host.c_str(), answer->status);
    Checked checked;
    if (const auto json = Json::parse(answer->body); json && !check.login.empty()) {
      Json::View at = json->view();
      for (const std::string& name : check.login) at = at[name];
      checked.login = printable(at.string().substr(0, 100));
    }
    if (const auto scopes = answer->headers.find(check.scopes); scopes != answer->headers.end())
      checked.scopes = printable(scopes->second.substr(0, 300));
    return checked;
  }

  const Plan& plan_;
  CommandLoop waiting_;
  Loop& loop_ = waiting_.loop();
  Fetcher& fetcher_ = waiting_.fetcher();
};

// What the vault keeps beside the secret; shown_facts() says what of it may be shown.
Json facts_of(const Plan& plan, const FoundToken& found, const Checked& checked, bool tried) {
  Json facts = Json::object();
  facts.set("provider", plan.provider->name)
      .set("host", plan.host)
      .set("source", found.source)
      .set("login", checked.login)
      .set("scopes", checked.scopes.empty() ? found.scopes : checked.scopes)
      .set("checked", tried)
      .set("stored_at", rfc3339(system_clock().wall_ns()));
  if (!found.expires_at.empty()) facts.set("expires_at", found.expires_at);
  if (!found.facts.empty()) {
    Json about = Json::object();
    for (const auto& [name, value] : found.facts) about.set(name, value);
    facts.set("about", std::move(about));
  }
  if (found.followed) facts.set("followed", true);
  // As refresh.h has it.
  if (!found.refresh_token.empty()) {
    facts.set("token_url", found.token_url).set("client_id", found.client_id);
    if (!found.client_secret.empty()) facts.set("client_secret", found.client_secret);
    if (!found.token_form.empty()) facts.set("token_form", found.token_form);
  }
  if (const std::string end = last_four(found.token); !end.empty()) facts.set("last_four", end);
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
  const ProviderSite* site = site_for(*plan.provider, plan.host, found->token.reveal());
  if (site == nullptr)
    return failed(error(Errc::invalid, "this is no token of %s's: nothing was stored",
                        plan.provider->title.c_str()));
  if (auto settled = settle_renewal(*site, plan.host, plan.take_refresh_token, *found); !settled)
    return failed(settled.error());
  if (found->facts.empty()) found->facts = facts_in_token(site->sources, found->token);
  store::Sealed sealed;
  sealed.name = plan.name;
  sealed.profile = plan.profile;
  sealed.secret = found->token.clone();
  sealed.refresh_token = found->refresh_token.clone();
  sealed.facts = facts_of(plan, *found, {}, false);
  const bool tries = plan.check && !site->check.url.empty();
  if (tries) {
    auto checked = granting.check(site->check, sealed);
    if (!checked) return failed(checked.error());
    sealed.facts = facts_of(plan, *found, *checked, true);
  }
  granting.look_for_signals();
  if (granting.interrupted() != 0) return 128 + granting.interrupted();

  if (auto stored = vault.put(sealed); !stored) return complain(stored.error());
  Output out;
  if (!plan.json && found->followed)
    out.line("Runs read " + found->source + " again, as the program that it belongs to renews it");
  out.line(plan.json ? shown_facts(sealed).text()
                     : plan.provider->title + " credential saved successfully");
  return out.finish(exit_ok);
}

}  // namespace

int cmd_grant(const Arguments& arguments) {
  const auto home = open_home();
  if (!home) return complain(home.error());
  if (arguments.operands().empty()) {
    if (auto loaded = load_providers(home->root); !loaded) return complain(loaded.error());
    std::string known;
    for (const Provider& provider : providers())
      known += (known.empty() ? "" : ", ") + provider.name;
    known += ", " + std::string(aws_grant_name) + ", ssh:HOST, oauth:NAME, mcp:NAME";
    return complain(error(Errc::invalid, "say what to grant: %s", known.c_str()), exit_usage);
  }
  const std::string& name = arguments.operands()[0];
  if (auto fit = check_kind_options(arguments, name); !fit)
    return complain(fit.error(), exit_usage);
  if (name == aws_grant_name) return grant_aws(arguments, *home);
  if (is_ssh_grant(lower(name)) || is_mcp_grant(name)) {
    const auto vault = open_vault(*home);
    if (!vault) return complain(vault.error());
    const auto grant_it = is_mcp_grant(name) ? grant_mcp : grant_ssh;
    return grant_it(arguments, **vault, profile_of(arguments));
  }
  const auto plan = make_plan(arguments, *home);
  if (!plan) return complain(plan.error(), exit_usage);
  // First, so that nobody logs in for a credential that then cannot be kept.
  const auto vault = open_vault(*home);
  if (!vault) return complain(vault.error());
  return grant(*plan, **vault);
}

}  // namespace moat
