#include "live_grants.h"

#include <utility>

#include "core/clock.h"
#include "core/log.h"
#include "login_file.h"
#include "mcp_grant.h"
#include "proxy_choice.h"
#include "refresh.h"
#include "vault_access.h"
#include "wall_settings.h"

namespace moat {
namespace {

constexpr int unauthorized = 401;
constexpr Milliseconds settle_step{20};
constexpr int settle_steps = 250;  // five seconds

}  // namespace

struct LiveGrants::Live {
  std::string name;
  std::string profile;
  int64_t since_ns = 0;  // wall clock; when this run came by its token
  std::unique_ptr<Refresher> refresher;
};

LiveGrants::LiveGrants(Loop& loop, Recorder& recorder, OnFresh on_fresh)
    : recorder_(recorder),
      on_fresh_(std::move(on_fresh)),
      loop_(loop),
      settling_(loop, [this] { settle(); }) {}

LiveGrants::~LiveGrants() {
  let_go_of_vault();
}

// What is still to be written then may take the time that the vault's key takes.
void LiveGrants::let_go_of_vault() {
  if (vault_ != nullptr) vault_->serve_on(nullptr);
}

Result<std::unique_ptr<LiveGrants>> LiveGrants::create(Loop& loop, const Home& home,
                                                       const Config& config, Recorder& recorder,
                                                       std::vector<GrantUse>& grants,
                                                       OnFresh on_fresh) {
  std::unique_ptr<LiveGrants> all(new LiveGrants(loop, recorder, std::move(on_fresh)));
  for (GrantUse& grant : grants) {
    if (!grant.renewable) continue;
    if (!all->fetcher_) all->fetcher_.emplace(all->loop_);
    const auto vault = open_vault(home);
    if (!vault) return vault.error();
    all->vault_ = *vault;
    all->vault_->serve_on(&loop);
    const Provider* const provider = find_provider(grant.name);
    RefreshSettings settings;
    settings.title = provider == nullptr ? grant.name : provider->title;
    settings.directory = home.root + "/credentials";
    settings.connect_to = config.connect_to;
    if (config.upstream_ca.size() == 1) settings.ca_file = config.upstream_ca[0];
    settings.objection = objection_of(*grant.renewable);
    settings.environment = environment_of_proxy(config.upstream_proxy, config.no_proxy);
    if (provider != nullptr)
      settings.read_source = [provider](const store::Sealed& have) {
        return read_login_again(*provider, have, system_clock());
      };
    Live& live = all->live_.emplace_back();
    live.name = grant.name;
    live.profile = grant.profile;
    live.refresher = std::make_unique<Refresher>(
        loop, *all->fetcher_, **vault, system_clock(), std::move(settings),
        std::move(*grant.renewable),
        [&live, all = all.get()](const store::Sealed& fresh) { all->on_token(live, fresh); },
        [&live, all = all.get()](const Error& trouble) { all->on_trouble(live, trouble); });
    grant.renewable.reset();
  }
  return all;
}

void LiveGrants::on_token(Live& live, const store::Sealed& credential) {
  live.since_ns = system_clock().wall_ns();
  if (retired_) return;
  auto use = use_credential(credential);
  if (!use) return on_trouble(live, use.error());
  // Before anybody can send it anywhere.
  std::vector<Secret> secrets = secrets_of(*use);
  secrets.push_back(credential.refresh_token.clone());
  recorder_.keep_out(secrets);
  recorder_.audit("secret.refreshed", Json::object()
                                          .set("expires", credential.facts["expires_at"].string())
                                          .set("grant", live.name)
                                          .set("profile", live.profile)
                                          .clone());
  on_fresh_(use->injections);
}

void LiveGrants::on_trouble(const Live& live, const Error& trouble) {
  log(Level::warning, "%s", trouble.message.c_str());
  if (retired_) return;
  recorder_.audit("secret.stale", Json::object()
                                      .set("grant", live.name)
                                      .set("profile", live.profile)
                                      .set("reason", trouble.message)
                                      .clone());
}

void LiveGrants::on_exchange(const proxy::Exchange& exchange) {
  if (exchange.status != unauthorized || exchange.refused || retired_) return;
  for (const Live& live : live_) {
    // One that began before the token came may have been sent with the old one.
    if (exchange.start_ns < live.since_ns) continue;
    for (const std::string& label : exchange.injected) {
      if (label == live.name) live.refresher->refused(live.refresher->token().reveal());
    }
  }
}

void LiveGrants::retire(std::function<void()> settled) {
  retired_ = true;
  settled_ = std::move(settled);
  settling_.start(Milliseconds(0));
}

void LiveGrants::settle() {
  bool busy = false;
  for (const Live& live : live_) busy = busy || live.refresher->is_busy();
  if (busy && ++waits_ < settle_steps) return settling_.start(settle_step);
  let_go_of_vault();
  live_.clear();
  const auto settled = std::move(settled_);
  settled();  // may have destroyed us
}

}  // namespace moat
