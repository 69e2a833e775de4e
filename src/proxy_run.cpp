#include "proxy_run.h"

#include <unistd.h>

#include <utility>

#include "core/clock.h"
#include "core/fd.h"
#include "core/text.h"
#include "wall_settings.h"

namespace moat {

ProxyRun::ProxyRun(Loop& loop, ProxyPlan plan) : loop_(loop), plan_(std::move(plan)) {
  facts_.id = new_run_id();
  facts_.name = plan_.config.name;
  facts_.state = "running";
  facts_.engine = no_engine;
  facts_.command = {"moat", "proxy"};
  for (const auto& listener : plan_.listeners) facts_.command.push_back(listener.name());
  facts_.created_ns = facts_.started_ns = system_clock().wall_ns();
  facts_.pid = getpid();
  for (const auto& grant : plan_.grants) facts_.grants.push_back(grant.name);
}

ProxyRun::~ProxyRun() = default;

Result<std::unique_ptr<ProxyRun>> ProxyRun::create(Loop& loop, const Home& home, ProxyPlan plan) {
  std::unique_ptr<ProxyRun> run(new ProxyRun(loop, std::move(plan)));
  if (auto begun = run->begin(home); !begun) {
    run->proxy_.reset();
    if (run->record_) run->record_->forget();
    return begun.error();
  }
  return run;
}

Result<void> ProxyRun::begin(const Home& home) {
  auto record = RunRecord::create(loop_, home, facts_.id, [this](const Error& error) {
    failure_ = error;
    stop({"the record cannot be written"});
  });
  if (!record) return record.error();
  record_ = std::move(*record);
  keep_bodies_ = record_->keeps_bodies();
  Recorder& recorder = record_->recorder();
  keep_out_secrets(recorder, plan_.config, plan_.grants);
  std::vector<Secret> passwords;
  for (const Secret& client : plan_.clients) {
    const std::string_view words = client.reveal();
    passwords.emplace_back(words.substr(words.find(':') + 1));
  }
  recorder.keep_out(passwords);
  recorder.facts(facts_);
  recorder.audit("run.created", created_data());
  record_grants(recorder, plan_.grants);

  for (const GrantUse& grant : plan_.grants) {
    if (grant.attend) attendants_.push_back(grant.attend(loop_, plan_.config, facts_.id));
  }
  auto live = LiveGrants::create(loop_, home, plan_.config, recorder, plan_.grants,
                                 [this](const auto& fresh) { proxy_->replace(fresh); });
  if (!live) return live.error();
  live_ = std::move(*live);
  auto proxy = proxy::Proxy::create(loop_, settings(), *this);
  if (!proxy) return proxy.error();
  proxy_ = std::move(*proxy);
  auto control = ControlServer::open(
      loop_, record_->directory(),
      [this](const Json& request, const auto& peer) { return serve_control(request, peer); });
  if (!control) return control.error();
  control_ = std::move(*control);
  if (auto written = write_file_atomically(plan_.ca_out, proxy_->ca_pem(), 0644, Sync::no);
      !written)
    return written.error().in("--ca-out");
  // On disk before anything is served: whoever finds this directory knows what it was.
  if (auto kept = recorder.commit(); !kept) return kept;
  record_->anchor(plan_.config);
  for (auto& listening : plan_.listeners) {
    if (auto begun = listening.begin(); !begun) return begun;
    proxy::Listener listener;
    listener.kind = proxy::Listener::Kind::forward;
    listener.ipv6 = listening.ipv6();
    listener.fd = listening.take_fd();
    listener.name = listening.name();
    listener.authenticate = plan_.authenticate_all || !listening.is_private();
    proxy_->listen(std::move(listener));
  }
  return {};
}

proxy::Settings ProxyRun::settings() {
  const std::string& file = plan_.config.file;
  proxy::Settings settings = wall_settings(plan_.config, facts_.id, std::move(plan_.grants));
  settings.placeholders.clear();  // there is no sandbox that was given any
  settings.keep_bodies = keep_bodies_;
  settings.clients = std::move(plan_.clients);
  settings.change_hint =
      file.empty() ? "start moat proxy with --allow-host HOST, or with a --policy file"
                   : "add it to network.rules in " + file + ", and start moat proxy again";
  settings.local_hint =
      "if it is meant to be reached, start moat proxy with --allow-host 'HOST local', or write "
      "'HOST local' into network.rules";
  return settings;
}

Json ProxyRun::created_data() const {
  Json listeners = Json::array();
  for (const auto& listening : plan_.listeners) {
    listeners.add(Json::object()
                      .set("at", listening.name())
                      .set("authenticate", plan_.authenticate_all || !listening.is_private())
                      .clone());
  }
  Json grants = Json::array();
  for (const auto& grant : plan_.grants)
    grants.add(Json::object().set("name", grant.name).set("where", grant.source).clone());
  Json json = Json::object();
  json.set("bodies", keep_bodies_)
      .set("command", Json(facts_.command))
      .set("config", plan_.config.file)
      .set("engine", facts_.engine)
      .set("grants", std::move(grants))
      .set("listeners", std::move(listeners))
      .set("name", facts_.name);
  describe_host(json);
  describe_wall(plan_.config, json);
  return json;
}

void ProxyRun::on_exchange(proxy::Exchange exchange) {
  if (live_) live_->on_exchange(exchange);
  record_->recorder().exchange(std::move(exchange));
}

void ProxyRun::on_minted(const proxy::Minted& minted) {
  record_minted(record_->recorder(), minted);
}

void ProxyRun::on_dns(const proxy::DnsQuestion& question) {
  record_->recorder().dns(question);
}

Json ProxyRun::serve_control(const Json& request, const ControlServer::Peer& peer) {
  const std::string what = request["op"].string();
  if (what == "stop") {
    // From the loop: the answer leaves first.
    loop_.defer([this, asker = Asker{"moat stop", peer.pid, peer.uid}] { stop(asker); });
    return Json::object().set("ok", true).set("id", facts_.id).clone();
  }
  return Json::object().set("error", "unknown request '" + printable(what) + "'").clone();
}

void ProxyRun::stop(const Asker& asker) {
  if (std::exchange(ended_, true)) return;
  Recorder& recorder = record_->recorder();
  recorder.audit("stop", asker.to_json());
  proxy_.reset();  // tells of the exchanges that it cuts
  facts_.state = "ended";
  facts_.exit_status = failure_ ? 1 : 0;
  facts_.ended_ns = system_clock().wall_ns();
  recorder.facts(facts_);
  Json data = Json::object();
  data.set("status", facts_.exit_status);
  if (failure_) data.set("reason", failure_->message);
  recorder.audit("run.ended", data);
  // The control socket's end is what tells 'moat stop' that we have heard.
  const auto settled = [this] {
    settled_ = true;
    finish();
  };
  if (live_)
    live_->retire([this] {
      live_.reset();
      finish();
    });
  if (auto finished = record_->finish(settled); !finished && !failure_) failure_ = finished.error();
}

void ProxyRun::finish() {
  if (!settled_ || live_) return;
  control_.reset();
  loop_.stop();
}

void ProxyRun::tell_root() const {
  if (record_->last_head()) moat::tell_root(facts_.id, *record_->last_head());
}

}  // namespace moat
