// moat grant aws: finds keys, tries them, or the role that they are for, and seals them in the
// vault.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "aws_grant.h"
#include "aws_keys.h"
#include "command.h"
#include "command_loop.h"
#include "config_reader.h"
#include "core/child.h"
#include "core/clock.h"
#include "core/text.h"
#include "print.h"
#include "vault_access.h"

namespace moat {
namespace {

constexpr size_t largest_input = 64 * 1024;
constexpr Milliseconds tool_limit{60'000};  // it may have to ask somebody itself
constexpr const char* aws_tool_source = "aws configure export-credentials";

struct AwsPlan {
  std::string profile;  // of AWS's files
  bool named = false;   // by the flag: then keys of the environment are not meant
  std::string host;
  std::string external_id;
  std::optional<AwsRole> role;
  StsRoute route;
  bool from_input = false;
  bool check = true;
  bool json = false;
};

Result<void> plan_role(AwsPlan& plan, const Arguments& arguments) {
  const auto arn = arguments.value("role");
  for (const char* option : {"external-id", "session-duration"}) {
    if (arguments.has(option) && !arn)
      return error(Errc::invalid, "--%s is for a role: name it with --role", option);
  }
  if (!arn) return {};
  if (auto checked = check_role_arn(*arn); !checked) return checked;
  if (!plan.host.empty())
    return error(Errc::invalid, "--role is for AWS itself, and --host for a server that is not");
  AwsRole& role = plan.role.emplace();
  role.arn = *arn;
  role.session = "moat-grant";
  role.external_id = arguments.value("external-id").value_or("");
  if (const auto text = arguments.value("session-duration")) {
    const auto seconds = parse_number(*text, 900, 43'200);  // what AWS takes
    if (!seconds)
      return error(Errc::invalid, "--session-duration: '%s' is not a number from 900 to 43200",
                   printable(text->substr(0, 64)).c_str());
    role.seconds = static_cast<int>(*seconds);
  }
  return {};
}

Result<AwsPlan> make_plan(const Arguments& arguments) {
  AwsPlan plan;
  for (const char* option :
       {"client-id", "device-url", "token-url", "check-url", "take-refresh-token"}) {
    if (arguments.has(option))
      return error(Errc::invalid, "--%s means nothing to 'moat grant aws'", option);
  }
  const char* usual = getenv("AWS_PROFILE");
  plan.profile = usual != nullptr && *usual != '\0' ? usual : "default";
  plan.named = arguments.has("aws-profile");
  plan.profile = arguments.value("aws-profile").value_or(plan.profile);
  if (const auto host = arguments.value("host")) {
    auto name = parse_server_host(*host, "--host");
    if (!name) return name.error();
    plan.host = std::move(*name);
  }
  if (auto planned = plan_role(plan, arguments); !planned) return planned.error();
  plan.route.region = arguments.value("region").value_or(aws_region_here(plan.profile));
  if (!plan.route.region.empty() && !is_aws_region(plan.route.region))
    return error(Errc::invalid, "--region: '%s' is not a region such as eu-west-1",
                 printable(plan.route.region.substr(0, 64)).c_str());
  for (const std::string& text : arguments.values("connect-to")) {
    const size_t equals = std::min(text.find('='), text.size());
    const auto from = parse_endpoint(std::string_view(text).substr(0, equals));
    if (!from) return from.error().in("--connect-to");
    const auto to =
        parse_endpoint(std::string_view(text).substr(std::min(equals + 1, text.size())));
    if (!to) return to.error().in("--connect-to");
    plan.route.connect_to[*from] = *to;
  }
  if (const auto file = arguments.value("upstream-ca")) plan.route.ca_files = {*file};
  plan.from_input = arguments.has("token-stdin");
  // Servers of one's own have no token service that all of them would have.
  plan.check = !arguments.has("no-check") && plan.host.empty();
  plan.json = arguments.has("json");
  return plan;
}

Result<FoundAwsKeys> keys_from_input() {
  if (isatty(STDIN_FILENO) != 0)
    return error(Errc::invalid,
                 "--token-stdin reads the keys from a pipe or a file, not from a terminal, as in "
                 "'aws configure export-credentials | moat grant aws --token-stdin'");
  std::string text(largest_input, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = read(STDIN_FILENO, text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const Error failure = errno_error("cannot read the keys from standard input");
      wipe(text);
      return failure;
    }
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  auto found = aws_keys_from_process(std::string_view(text).substr(0, size));
  wipe(text);
  if (found) found->source = "standard input";
  return found;
}

class AwsGranting {
 public:
  explicit AwsGranting(const AwsPlan& plan) : plan_(plan) {}

  [[nodiscard]] int interrupted() const { return loop_.interrupted(); }
  void look_for_signals() { loop_.look_for_signals(); }

  Result<FoundAwsKeys> obtain() {
    if (!plan_.named) {
      auto found = aws_keys_from_environment();
      if (!found) return found.error();
      if (*found) return using_these(std::move(**found));
    }
    auto found = aws_keys_from_file(plan_.profile);
    if (!found) return found.error();
    if (*found) return using_these(std::move(**found));
    auto printed = ask_the_tool();
    if (!printed) return printed.error();
    return using_these(std::move(*printed));
  }

  // Whose they are, or the role's session.
  Result<std::string> check(const proxy::AwsKeys& keys) {
    auto request = plan_.role ? assume_role(keys, *plan_.role, plan_.route)
                              : get_caller_identity(keys, plan_.route);
    auto answer = loop_.ask(std::move(request));
    if (!answer && loop_.interrupted() != 0) return answer.error();
    const auto failed = [](const Error& why) {
      return error(why.code, "%s; nothing was stored (without a check: --no-check)",
                   why.message.c_str());
    };
    if (!plan_.role) {
      auto identity = read_identity(answer);
      if (!identity) return failed(identity.error());
      return identity;
    }
    auto role = read_role_keys(answer);
    if (!role) return failed(role.error());
    return std::move(role->arn);
  }

 private:
  Result<FoundAwsKeys> using_these(FoundAwsKeys found) const {
    FILE* to = plan_.json ? stderr : stdout;
    fprintf(to, "Using the keys from %s\n", found.source.c_str());
    fflush(to);
    return found;
  }

  Result<FoundAwsKeys> ask_the_tool() {
    std::optional<Result<CommandOutput>> output;
    const CapturedCommand command(loop_.loop(), aws_keys_command(plan_.profile), tool_limit,
                                  largest_input, [&](Result<CommandOutput> result) {
                                    output.emplace(std::move(result));
                                    loop_.loop().stop();
                                  });
    loop_.loop().run();
    if (!output) return CommandLoop::given_up();
    const bool ran = output->has_value() && (*output)->status.shell() == 0;
    auto found = ran ? aws_keys_from_process((*output)->out)
                     : Result<FoundAwsKeys>(error(Errc::not_found, "no keys"));
    if (output->has_value()) wipe((*output)->out);
    if (found) found->source = aws_tool_source;
    if (ran || found) return found;
    return error(Errc::not_found,
                 "no AWS keys are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the profile "
                 "'%s' of ~/.aws/credentials, or known to 'aws configure export-credentials'; give "
                 "them with --token-stdin",
                 printable(plan_.profile).c_str());
  }

  const AwsPlan& plan_;
  CommandLoop loop_;
};

Json facts_of(const AwsPlan& plan, const FoundAwsKeys& found, const std::string& login) {
  const std::string& name = found.keys.access_key;
  Json facts = Json::object();
  facts.set("provider", aws_grant_name)
      .set("type", "keys")
      .set("host", plan.host)
      .set("source", found.source)
      .set("login", login)
      .set("scopes", "")
      .set("checked", plan.check)
      .set("stored_at", rfc3339(system_clock().wall_ns()))
      .set("region", plan.route.region)
      .set("expires_at", found.expires);
  if (plan.role) facts.set("role", plan.role->arn).set("session_duration", plan.role->seconds);
  // Keys that end, and that the tool can be asked for again.
  if (found.source == aws_tool_source && !found.expires.empty()) facts.set("profile", plan.profile);
  // Of the key's name, which is no secret and tells two keys apart.
  if (name.size() >= 16) facts.set("last_four", name.substr(name.size() - 4));
  return facts;
}

}  // namespace

int grant_aws(const Arguments& arguments, const Home& home) {
  const auto plan = make_plan(arguments);
  if (!plan) return complain(plan.error(), exit_usage);
  // First, so that nobody logs in for a credential that then cannot be kept.
  const auto vault = open_vault(home);
  if (!vault) return complain(vault.error());
  std::optional<FoundAwsKeys> found;
  if (plan->from_input) {
    // Before there are handlers, so that Ctrl-C ends a read that waits.
    auto given = keys_from_input();
    if (!given) return complain(given.error());
    found = std::move(*given);
  }
  AwsGranting granting(*plan);
  const auto failed = [&](const Error& error) {
    return granting.interrupted() != 0 ? 128 + granting.interrupted() : complain(error);
  };
  if (!found) {
    auto obtained = granting.obtain();
    if (!obtained) return failed(obtained.error());
    found = std::move(*obtained);
  }
  std::string login;
  if (plan->check) {
    auto checked = granting.check(found->keys);
    if (!checked) return failed(checked.error());
    login = std::move(*checked);
  }
  granting.look_for_signals();
  if (granting.interrupted() != 0) return 128 + granting.interrupted();

  store::Sealed sealed;
  sealed.name = aws_grant_name;
  sealed.profile = profile_of(arguments);
  sealed.facts = facts_of(*plan, *found, login);
  AwsCredential credential;
  credential.keys = std::move(found->keys);
  if (plan->role) credential.external_id = plan->role->external_id;
  sealed.secret = seal_aws(credential);
  if (auto stored = (*vault)->put(sealed); !stored) return complain(stored.error());
  Output out;
  out.line(plan->json ? sealed.facts.text() : "AWS credential saved successfully");
  return out.finish(exit_ok);
}

}  // namespace moat
