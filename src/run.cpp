#include "run.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "command.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/text.h"
#include "print.h"
#include "wall_settings.h"

namespace moat {
namespace {

// In the order in which it was proved; a name may be there for IPv4 and for IPv6.
Json json_of(const runtime::SealProof& proof) {
  Json json = Json::array();
  for (const auto& [name, value] : proof) json.add(name + ": " + value);
  return json;
}

Json json_of(const std::vector<Located>& words) {
  Json json = Json::array();
  for (const auto& word : words)
    json.add(Json::object().set("name", word.text).set("where", word.where).clone());
  return json;
}

proxy::Listener to_proxy(runtime::SandboxListener listener) {
  using From = runtime::SandboxListener::Kind;
  using To = proxy::Listener::Kind;
  const To kind = listener.kind == From::tcp       ? To::tcp
                  : listener.kind == From::dns_udp ? To::dns_udp
                                                   : To::dns_tcp;
  return {kind, listener.ipv6, listener.redirected, std::move(listener.fd)};
}

// Of a terminal that nobody looks at.
constexpr runtime::TerminalSize usual_size{24, 80};

// What programs ask about the terminal that they write to, unless somebody has answered already.
void add_terminal_variables(std::vector<std::pair<std::string, std::string>>& env) {
  for (const char* name : {"TERM", "COLORTERM"}) {
    const char* value = getenv(name);
    const bool has = std::any_of(env.begin(), env.end(),
                                 [name](const auto& variable) { return variable.first == name; });
    if (value != nullptr && *value != '\0' && !has) env.emplace_back(name, value);
  }
}

// Names of hosts, containers and people's runs have different alphabets; this one suits a host.
std::string host_name(const std::string& name) {
  std::string host;
  for (const char c : lower(name)) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (fits && host.size() < 63) host += c;
  }
  return host.empty() || host.front() == '-' ? "moat" : host;
}

bool same_file(int a, int b) {
  struct stat of_a {};
  struct stat of_b {};
  return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

// What is passed through shows certificates of its own, which Java then has to know as well: the
// system's bundle, or "" where there is none.
std::string system_roots() {
  constexpr size_t largest = 8 * 1024 * 1024;  // Debian's has 0.2
  for (const std::string& path : runtime::ca_bundle_paths) {
    if (auto pem = read_file(path, largest)) return std::move(*pem);
  }
  return {};
}

}  // namespace

Run::Run(Loop& loop, Config config, HostTerminal* terminal, std::function<void()> on_started)
    : loop_(loop),
      config_(std::move(config)),
      terminal_(config_.terminal ? terminal : nullptr),
      on_started_(std::move(on_started)),
      grace_(loop, [this] { kill({"the grace period is over"}); }),
      limit_(loop, [this] { on_overdue(); }),
      born_ns_(system_clock().monotonic_ns()) {
  facts_.id = new_run_id();
  facts_.name = config_.name;
  facts_.state = "starting";
  facts_.workspace = config_.workspace;
  facts_.command = config_.command;
  facts_.created_ns = system_clock().wall_ns();
  facts_.pid = getpid();
  for (const auto& grant : config_.grants) facts_.grants.push_back(grant.text);
}

Run::~Run() = default;

Result<std::unique_ptr<Run>> Run::create(Loop& loop, const Home& home, const Config& config,
                                         HostTerminal* terminal, std::function<void()> on_started) {
  std::unique_ptr<Run> run(new Run(loop, config, terminal, std::move(on_started)));
  if (auto prepared = run->prepare(home); !prepared) {
    run->forget();
    return prepared.error();
  }
  return run;
}

Result<void> Run::prepare(const Home& home) {
  auto moat_init = find_moat_init();
  if (!moat_init) return moat_init.error();
  auto engine = runtime::make_engine(loop_, config_.runtime, {"", *moat_init});
  if (!engine) return engine.error();
  engine_ = std::move(*engine);
  facts_.engine = engine_->name();

  auto image = choose_image(config_, facts_.engine);
  if (!image) return image.error();
  facts_.image = image->image;
  if (auto has = check_host_tools(image->checks); !has) return has;

  auto grants = resolve_grants(home, config_.grants, config_.profile);
  if (!grants) return grants.error();
  add_placeholders(*grants, config_.env, home_files_);
  if (config_.terminal) add_terminal_variables(config_.env);
  auto secrets = fetch_secrets(config_.secrets);
  if (!secrets) return secrets.error();

  if (auto opened = open_record(home, *grants); !opened) return opened;
  keep_bodies_ = record_->keeps_bodies();
  recorder().audit("run.created", created_data());
  record_grants(recorder(), *grants);
  for (const SecretValue& secret : *secrets) give(secret);
  auto ssh =
      SshRun::prepare(loop_, recorder(), record_->directory(), *grants, config_.ssh_allow_unbound);
  if (!ssh) return ssh.error();
  ssh_ = std::move(*ssh);

  // The engine is asked now, so that its answer is on the way while keys are made below.
  engine_->ready([this](const Result<void>& ready) { on_engine_ready(ready); });

  for (const GrantUse& grant : *grants) {
    if (grant.attend) attendants_.push_back(grant.attend(loop_, config_, facts_.id));
  }
  auto live = LiveGrants::create(loop_, home, config_, recorder(), *grants,
                                 [this](const auto& fresh) { proxy_->replace(fresh); });
  if (!live) return live.error();
  live_ = std::move(*live);
  auto proxy = proxy::Proxy::create(loop_, proxy_settings(std::move(*grants)), *this);
  if (!proxy) return proxy.error();
  proxy_ = std::move(*proxy);

  auto control = ControlServer::open(
      loop_, record_->directory(),
      [this](const Json& request, const auto& peer) { return serve_control(request, peer); });
  if (!control) return control.error();
  control_ = std::move(*control);
  // On disk before an engine makes anything: whoever finds this directory after a crash knows
  // which engine to ask for leftovers.
  if (auto kept = recorder().commit(); !kept) return kept;
  end_span("prepare");
  return {};
}

// It is in the sandbox from then on, and kept out of the record all the same.
void Run::give(const SecretValue& secret) {
  log(Level::warning, "the sandbox can see the secret in %s; a grant would keep it outside",
      secret.name.c_str());
  recorder().keep_out(secret.value.reveal());
  record_secret(recorder(), secret);
  std::erase_if(config_.env, [&](const auto& had) { return had.first == secret.name; });
  config_.env.emplace_back(secret.name, secret.value.reveal());
}

Result<void> Run::open_record(const Home& home, const std::vector<GrantUse>& grants) {
  auto record = RunRecord::create(loop_, home, facts_.id, [this](const Error& error) {
    failure_ = error;
    kill({"the record cannot be written"});
  });
  if (!record) return record.error();
  record_ = std::move(*record);
  keep_out_secrets(recorder(), config_, grants);
  recorder().facts(facts_);
  return {};
}

Json Run::created_data() const {
  Json env = Json::array();  // names only: values may be private
  for (const auto& [name, value] : config_.env) env.add(name);
  Json mounts = Json::array();
  for (const auto& mount : config_.mounts)
    mounts.add(mount.source + ":" + mount.target + (mount.read_only ? ":ro" : ""));
  Json json = Json::object();
  json.set("bodies", keep_bodies_)
      .set("command", Json(facts_.command))
      .set("config", config_.file)
      .set("dependencies", json_of(config_.dependencies))
      .set("detach", config_.detach)
      .set("engine", facts_.engine)
      .set("env", std::move(env))
      .set("grants", json_of(config_.grants))
      .set("image", facts_.image)
      .set("interactive", config_.interactive)
      .set("mounts", std::move(mounts))
      .set("name", facts_.name)
      .set("ssh_allow_unbound", config_.ssh_allow_unbound)
      .set("terminal", config_.terminal)
      .set("time_limit_ms", config_.time_limit_ns / 1'000'000)
      .set("workdir", config_.workdir)
      .set("workspace", facts_.workspace)
      .set("workspace_read_only", config_.workspace_read_only);
  describe_host(json);
  describe_wall(config_, json);
  return json;
}

proxy::Settings Run::proxy_settings(std::vector<GrantUse> grants) {
  proxy::Settings settings = wall_settings(config_, facts_.id, std::move(grants));
  settings.keep_bodies = keep_bodies_;
  settings.local_hint =
      "if it is meant to be reached, run again with --allow-host 'HOST local', or write 'HOST "
      "local' into network.rules";
  settings.change_hint =
      config_.file.empty()
          ? "run again with --allow-host HOST, or write network.rules into agent.yaml"
          : "add it to network.rules in " + config_.file + ", or run with --allow-host HOST";
  return settings;
}

runtime::SandboxSpec Run::sandbox_spec() const {
  runtime::SandboxSpec spec;
  spec.run_id = facts_.id;
  spec.name = facts_.name;
  spec.run_directory = record_->directory();
  spec.image = facts_.image;
  spec.command = config_.command;
  spec.env = config_.env;
  spec.workdir = config_.workdir;
  spec.mounts.push_back({config_.workspace, "/workspace", config_.workspace_read_only});
  spec.mounts.insert(spec.mounts.end(), config_.mounts.begin(), config_.mounts.end());
  spec.home_files = home_files_;
  spec.uid = getuid();
  spec.gid = getgid();
  spec.hostname = host_name(facts_.name);
  spec.ca_pem = proxy_->ca_pem();
  if (!config_.policy.passthrough.empty()) spec.java_roots = system_roots();
  spec.open_stdin = config_.interactive;
  if (config_.terminal) spec.terminal = terminal_ != nullptr ? terminal_->size() : usual_size;
  spec.ports = {80, 443};
  const auto& policy = config_.policy;
  for (const auto* rules : {&policy.hosts, &policy.tcp, &policy.passthrough}) {
    for (const auto& rule : *rules) {
      if (rule.port) spec.ports.push_back(*rule.port);
    }
  }
  if (ssh_) {
    spec.ssh_agent = true;
    spec.known_hosts = ssh_->known_hosts();
    for (const uint16_t port : ssh_->ports()) spec.ports.push_back(port);
  }
  return spec;
}

int64_t Run::elapsed() const {
  return system_clock().monotonic_ns() - born_ns_;
}

void Run::end_span(const char* name) {
  const int64_t now = elapsed();
  recorder().span(name, span_from_ns_, now);
  span_from_ns_ = now;
}

void Run::on_engine_ready(const Result<void>& ready) {
  if (ended_) return;
  if (!ready) return on_failed(ready.error(), 125);
  end_span("engine.ready");
  if (!config_.detach) {
    out_.emplace(loop_, STDOUT_FILENO, static_cast<Outlet::Handler&>(*this));
    err_.emplace(loop_, STDERR_FILENO, static_cast<Outlet::Handler&>(*this));
    one_file_ = same_file(STDOUT_FILENO, STDERR_FILENO);
  }
  sandbox_ = engine_->create(sandbox_spec(), *this);
  sandbox_->on_stdin_drained = [this] {
    if (in_) in_->resume();
  };
}

void Run::on_sealed(std::vector<runtime::SandboxListener> listeners,
                    const runtime::SealProof& proof) {
  sealed_ = true;
  end_span("seal");
  Json data = Json::object();
  data.set("engine", facts_.engine)
      .set("engine_version", engine_->version())
      .set("image_digest", engine_->image_digest())
      .set("proof", json_of(proof));
  recorder().audit("seal.proved", data);
  // The proof is on disk before anything of the agent's runs.
  if (auto kept = recorder().commit(); !kept) return on_failed(kept.error(), 125);
  record_->anchor(config_);
  for (auto& listener : listeners) {
    if (listener.kind != runtime::SandboxListener::Kind::ssh_agent)
      proxy_->listen(to_proxy(std::move(listener)));
    else if (ssh_)
      ssh_->listen(std::move(listener.fd));
  }
  sandbox_->go();
}

void Run::on_started() {
  end_span("start");
  facts_.state = "running";
  facts_.started_ns = system_clock().wall_ns();
  recorder().facts(facts_);
  Json data = Json::object();
  data.set("command", Json(facts_.command)).set("workdir", config_.workdir);
  recorder().audit("command.started", data);
  if (config_.interactive && !config_.detach)
    in_.emplace(loop_, STDIN_FILENO, static_cast<Inlet::Handler&>(*this));
  // Without input the keyboard stays with moat: Ctrl-C is a signal, passed on as such.
  if (terminal_ != nullptr && config_.interactive) terminal_->lend();
  resize();
  if (config_.time_limit_ns > 0)
    limit_.start(
        std::chrono::duration_cast<Milliseconds>(std::chrono::nanoseconds(config_.time_limit_ns)));
  if (on_started_) on_started_();
}

void Run::on_output(runtime::OutputStream stream, std::string_view bytes) {
  recorder().output(stream, bytes);
  auto& outlet = stream == runtime::OutputStream::out ? out_ : err_;
  if (!outlet) return;
  if (terminal_ != nullptr) terminal_->written(bytes);
  outlet->write(bytes);
  if (!bytes.empty() && (one_file_ || stream == runtime::OutputStream::err))
    mid_line_ = bytes.back() != '\n';
  if (outlet->full()) sandbox_->pause_output();
}

void Run::on_outlet_drained() {
  if (ended_) return finish_when_flushed();
  if (sandbox_ && !out_->full() && !err_->full()) sandbox_->resume_output();
}

void Run::on_outlet_broken() {
  // As in a pipeline without moat in it: whoever writes to a pipe that nobody reads gets SIGPIPE.
  if (ended_) return finish_when_flushed();
  if (sandbox_) {
    sandbox_->resume_output();
    pass_signal(SIGPIPE, {"nobody reads the output any more"});
  }
}

bool Run::on_inlet(std::string_view bytes) {
  return sandbox_ && sandbox_->write_stdin(bytes);
}

void Run::on_inlet_end() {
  if (sandbox_) sandbox_->close_stdin();
}

Result<void> Run::recording() {
  return recorder().state();
}

void Run::on_exchange(proxy::Exchange exchange) {
  if (live_) live_->on_exchange(exchange);
  recorder().exchange(std::move(exchange));
}

void Run::on_minted(const proxy::Minted& minted) {
  record_minted(recorder(), minted);
}

void Run::on_dns(const proxy::DnsQuestion& question) {
  recorder().dns(question);
}

void Run::pass_signal(int number, const Asker& asker) {
  if (ended_) return;
  if (!sealed_ || !sandbox_) {
    Asker early = asker;
    early.by = format("signal %d before the command had started", number);
    return kill(early);
  }
  Json data = asker.to_json();
  data.set("signal", number);
  recorder().audit("signal", data);
  sandbox_->signal(number);
}

void Run::stop(Milliseconds grace, const Asker& asker) {
  if (ended_) return;
  if (!sealed_ || !sandbox_) return kill(asker);
  Json data = asker.to_json();
  data.set("grace_ms", static_cast<int64_t>(grace.count()));
  recorder().audit("stop", data);
  sandbox_->signal(SIGTERM);
  if (!grace_.running()) grace_.start(grace);
}

void Run::resize() {
  if (terminal_ != nullptr && sandbox_) sandbox_->resize(terminal_->size());
}

void Run::kill(const Asker& asker) {
  if (ended_) return;
  recorder().audit("kill", asker.to_json());
  if (!sealed_ && !failure_)
    failure_ = error(Errc::refused, "stopped before the command had started: %s", asker.by.c_str());
  // on_exit or on_failed follows. An engine that does not answer is not waited for twice.
  if (sandbox_ && !killed_) {
    killed_ = true;
    sandbox_->kill();
    return;
  }
  end(128 + SIGKILL, Json::object().set("reason", asker.by));
}

// As timeout(1), but that what does not end by itself is killed after a time.
void Run::on_overdue() {
  constexpr Milliseconds last_chance{10'000};
  overdue_ = true;
  failure_ = error(Errc::timeout, "the command was stopped, for its time limit of %s is over",
                   human_duration(config_.time_limit_ns).c_str());
  stop(last_chance, {"the time limit is over"});
}

Json Run::serve_control(const Json& request, const ControlServer::Peer& peer) {
  const std::string what = request["op"].string();
  if (what == "stop") {
    const int64_t seconds = std::clamp<int64_t>(request["grace"].integer(10), 0, 3600);
    stop(std::chrono::seconds(seconds), {"moat stop", peer.pid, peer.uid});
    return Json::object().set("ok", true).set("id", facts_.id).clone();
  }
  return Json::object().set("error", "unknown request '" + printable(what) + "'").clone();
}

void Run::on_exit(ExitStatus status) {
  if (ended_) return;
  Json how = Json::object();
  how.set("code", status.code).set("signal", status.signal);
  end_command(status.shell(), std::move(how));
  // What programs send before they end arrives, as it does without a proxy in between.
  constexpr Milliseconds last_words{1000};
  proxy_->drain(last_words, [this] { close_record(); });
}

void Run::on_failed(const Error& error, int shell_status) {
  if (ended_) return;
  if (!failure_) failure_ = error;
  Json how = Json::object();
  how.set("reason", failure_->message);
  end(shell_status, std::move(how));
}

void Run::end(int exit_status, Json how) {
  if (ended_) return;
  end_command(exit_status, std::move(how));
  close_record();
}

void Run::end_command(int exit_status, Json how) {
  if (overdue_) {
    exit_status = exit_timed_out;
    how.set("reason", failure_->message);
  }
  limit_.stop();
  ended_ = true;
  exit_status_ = exit_status;
  if (terminal_ != nullptr && flushed()) terminal_->give_back();
  how.set("status", exit_status);
  ending_ = std::move(how);
  grace_.stop();
  in_.reset();
  end_span("command");
  facts_.state = "stopping";
  facts_.exit_status = exit_status;
  facts_.ended_ns = system_clock().wall_ns();
  recorder().facts(facts_);
}

void Run::close_record() {
  ssh_.reset();    // no more signatures
  proxy_.reset();  // tells of the exchanges that it cuts
  const auto renewed = [this] {
    live_.reset();
    finish_when_flushed();
  };
  if (live_) live_->retire(renewed);
  recorder().audit("run.ended", ending_);
  const auto settled = [this] {
    settled_ = true;
    finish_when_flushed();
  };
  if (auto finished = record_->finish(settled); !finished && !failure_) {
    failure_ = finished.error();
    exit_status_ = 125;
  }
  remove_sandbox();
}

void Run::remove_sandbox() {
  const auto done = [this](const Result<void>& removed) {
    if (removed) {
      facts_.state = "ended";
    } else {
      log(Level::warning, "%s; the next moat command tries again", removed.error().message.c_str());
    }
    recorder().facts(facts_);
    end_span("remove");
    (void)recorder().commit();
    removed_ = true;
    finish_when_flushed();
  };
  if (sandbox_) {
    sandbox_->remove(done);
  } else {
    loop_.defer([done] { done({}); });
  }
}

bool Run::flushed() const {
  return (!out_ || out_->empty()) && (!err_ || err_->empty());
}

void Run::finish_when_flushed() {
  if (!flushed()) return;
  // What is typed while the sandbox is removed is for the shell.
  if (terminal_ != nullptr) terminal_->give_back();
  if (!removed_ || !settled_ || live_) return;
  control_.reset();
  // A sandbox that was never sealed has no story; the error has been told on the terminal.
  if (!sealed_) forget();
  loop_.stop();
}

void Run::tell_root() const {
  if (record_->last_head() && sealed_) moat::tell_root(facts_.id, *record_->last_head(), mid_line_);
}

void Run::forget() {
  if (record_) record_->forget();
}

}  // namespace moat
