// moat proxy: the wall alone, for programs that are told to use a proxy.
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "command.h"
#include "config.h"
#include "config_reader.h"
#include "core/crypto.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/text.h"
#include "grant.h"
#include "listening.h"
#include "missing_grants.h"
#include "paths.h"
#include "print.h"
#include "proxy_run.h"

namespace moat {
namespace {

constexpr size_t shortest_password = 8;
constexpr size_t most_clients = 64;  // each is compared with, for each request

Error missing(const char* option, const char* example) {
  return error(Errc::invalid, "'moat proxy' wants --%s, such as --%s %s; see 'moat proxy --help'",
               option, option, example);
}

// "USER:PASSWORD" a line; empty lines and those that begin with '#' are passed over.
Result<std::vector<Secret>> read_clients(const std::string& path) {
  constexpr size_t max_file = 64 * 1024;
  auto text = read_file(path, max_file);
  if (!text) return text.error().in("--auth-file");
  std::vector<Secret> clients;
  int number = 0;
  Result<std::vector<Secret>> outcome = std::vector<Secret>();
  for (std::string_view line : split(*text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos ||
        line.size() - colon - 1 < shortest_password) {
      outcome = error(Errc::invalid,
                      "%s:%d: a line is USER:PASSWORD, and a password has at least %zu characters",
                      shown(path).c_str(), number, shortest_password);
      break;
    }
    clients.emplace_back(line);
  }
  wipe(*text);
  if (!outcome) return outcome;
  if (clients.empty() || clients.size() > most_clients)
    return error(Errc::invalid, "--auth-file: %s names %zu users; it may be 1 to %zu",
                 shown(path).c_str(), clients.size(), most_clients);
  return clients;
}

Result<void> open_listeners(const Arguments& arguments, ProxyPlan& plan) {
  std::vector<ListenPlace> places;
  for (const std::string& text : arguments.values("listen")) {
    auto place = parse_listen(text);
    if (!place) return place.error();
    places.push_back(std::move(*place));
  }
  for (const ListenPlace& place : places) {
    auto listening = Listening::open(place);
    if (!listening) return listening.error();
    plan.listeners.push_back(std::move(*listening));
  }
  return {};
}

// Who has to show a password, and which. The one that is made up here is told on standard output,
// once; it is kept nowhere.
Result<std::string> settle_clients(const Arguments& arguments, ProxyPlan& plan) {
  const auto file = arguments.value("auth-file");
  plan.authenticate_all = arguments.has("auth") || file.has_value();
  if (file) {
    auto clients = read_clients(*file);
    if (!clients) return clients.error();
    plan.clients = std::move(*clients);
    return std::string();
  }
  bool wanted = plan.authenticate_all;
  for (const Listening& listening : plan.listeners) wanted = wanted || !listening.is_private();
  if (!wanted) return std::string();
  std::string client = "moat:" + hex(random_bytes(16));
  plan.clients.emplace_back(client);
  return client;
}

Result<void> resolve_secrets(const Arguments& arguments, const Home& home, ProxyPlan& plan) {
  if (const int status = offer_missing_grants(home, plan.config); status != exit_ok)
    return error(Errc::not_found, "a grant was not obtained");
  auto grants = resolve_grants(home, plan.config.grants, plan.config.profile);
  if (!grants) return grants.error();
  for (const GrantUse& grant : *grants) {
    if (grant.ssh)
      return error(Errc::unsupported, "--grant %s: an SSH agent is for a sandbox; use moat run",
                   grant.name.c_str());
  }
  plan.grants = std::move(*grants);
  for (const std::string& text : arguments.values("header")) {
    auto use = header_grant(text);
    if (!use) return use.error();
    plan.grants.push_back(std::move(*use));
  }
  return {};
}

// Standard output has the password, if there is a new one, and nothing else.
int tell_client(std::string& client) {
  if (client.empty()) return exit_ok;
  Output out;
  out.line(client);
  wipe(client);
  return out.finish(exit_ok);
}

int serve(const Home& home, ProxyPlan plan, std::string& client) {
  const std::string ca_out = printable(plan.ca_out);
  // No secrets: what clients are to have, so that what they send can be told from a foreign key.
  std::vector<std::string> placeholders;
  for (const GrantUse& grant : plan.grants) {
    for (const auto& [name, value] : grant.env)
      placeholders.push_back(grant.name + ": " + name + "=" + value);
  }
  Loop loop;
  auto run = ProxyRun::create(loop, home, std::move(plan));
  if (!run) return complain(run.error());
  std::vector<std::unique_ptr<Signal>> signals;
  const auto stops = [&](int number, const char* name) {
    signals.push_back(std::make_unique<Signal>(
        loop, number, [&run, number, name] { (*run)->stop(asker(name, number)); }));
  };
  stops(SIGINT, "SIGINT");
  stops(SIGTERM, "SIGTERM");
  stops(SIGHUP, "SIGHUP");
  if (const int told = tell_client(client); told != exit_ok) return told;
  for (const Listening& listening : (*run)->listeners()) {
    Output err(STDERR_FILENO);
    err.line("listening on " + printable(listening.name()) + ", CA in " + ca_out);
  }
  for (const std::string& line : placeholders) {
    Output err(STDERR_FILENO);
    err.line(line);
  }
  loop.run();
  const int status = (*run)->failure() ? complain(*(*run)->failure()) : exit_ok;
  (*run)->tell_root();
  return status;
}

}  // namespace

int cmd_proxy(const Arguments& arguments) {
  if (!arguments.has("listen")) return complain(missing("listen", "127.0.0.1:8080"), exit_usage);
  const auto ca_out = arguments.value("ca-out");
  if (!ca_out) return complain(missing("ca-out", "ca.pem"), exit_usage);
  ProxyPlan plan;
  plan.ca_out = *ca_out;
  auto config = load_proxy_config(arguments);
  if (!config) return complain(config.error());
  plan.config = std::move(*config);
  const auto home = open_home();
  if (!home) return complain(home.error());
  if (auto resolved = resolve_secrets(arguments, *home, plan); !resolved)
    return complain(resolved.error());
  if (auto opened = open_listeners(arguments, plan); !opened) return complain(opened.error());
  auto client = settle_clients(arguments, plan);
  if (!client) return complain(client.error());
  return serve(*home, std::move(plan), *client);
}

}  // namespace moat
