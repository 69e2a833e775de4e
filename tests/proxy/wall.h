// A wall to try things on: everything of the proxy's but its listeners, an agent whose connections
// go wherever a test says, and an origin that answers by a script. All on one loop.
// Include it last, for it includes moat_test.h.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/fd.h"
#include "proxy/relay.h"
#include "proxy/session.h"
#include "proxy/tls.h"
#include "proxy/transport.h"

#include "moat_test.h"

namespace moat::test {

using namespace moat::proxy;

// Throws, so that setup fails with a sentence.
template <class T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

// One end of a connection: what came, and what became of it.
struct Peer final : Transport::Handler {
  Peer(Loop& loop, Fd fd, std::function<void(Peer&)> on_change = nullptr)
      : changed(std::move(on_change)), transport(loop, std::move(fd), *this, {}) {}

  void on_ready(Transport& t) override {
    ready = t.tls() != nullptr;
    if (!queued.empty()) transport.write(std::exchange(queued, {}));
  }
  void on_input(Transport& t) override {
    received += t.input();
    total += t.input().size();
    t.consume(t.input().size());
    if (changed) changed(*this);
    if (forgetful) received.clear();
  }
  void on_end(Transport&, bool was_clean) override {
    ended = true;
    clean = was_clean;
    if (changed) changed(*this);
  }
  void on_drained(Transport&) override {
    if (changed) changed(*this);
  }
  void on_error(Transport&, const Error& why) override {
    failed = true;
    error = why.message;
  }
  // Now, or as soon as TLS stands.
  void say(const std::string& bytes) {
    if (transport.tls() != nullptr && !ready) {
      queued += bytes;
    } else {
      transport.write(bytes);
    }
  }
  void start_tls(std::unique_ptr<TlsSession> session) { transport.start_tls(std::move(session)); }
  bool has(std::string_view text) const { return received.find(text) != std::string::npos; }
  bool gone() const { return ended || failed; }

  std::function<void(Peer&)> changed;
  std::string received;
  std::string queued;
  uint64_t total = 0;
  bool forgetful = false;
  bool ready = false;
  bool ended = false;
  bool clean = false;
  bool failed = false;
  std::string error;
  Transport transport;
};

struct Recorder final : Observer {
  Result<void> recording() override {
    if (breaks_after >= 0 && breaks_after-- == 0) broken = true;
    if (broken) return Error{Errc::full, "the disk is full"};
    return {};
  }
  void on_exchange(Exchange exchange) override { exchanges.push_back(std::move(exchange)); }
  void on_dns(const DnsQuestion& question) override { questions.push_back(question); }
  void on_minted(const Minted& some) override { minted.push_back(some); }
  std::vector<Exchange> exchanges;
  std::vector<Minted> minted;
  std::vector<DnsQuestion> questions;
  bool broken = false;
  int breaks_after = -1;  // so many questions, if any
};

inline Fd listen_on_loopback(uint16_t* port, int type = SOCK_STREAM) {
  Fd fd(socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!fd || bind(fd.get(), generic, size) != 0 ||
      (type == SOCK_STREAM && listen(fd.get(), 64) != 0) ||
      getsockname(fd.get(), generic, &size) != 0) {
    throw std::runtime_error("no socket on loopback");
  }
  *port = ntohs(address.sin_port);
  return fd;
}

inline std::string write_temporary(const std::string& text) {
  char path[] = "/tmp/moat-test-XXXXXX";
  const Fd fd(mkstemp(path));
  if (!fd || !write_all(fd.get(), text)) throw std::runtime_error("no temporary file");
  return path;
}

// Answers each whole request (heads, and bodies that are counted) with the next of its answers, or
// lets `script` do it.
struct Origin {
  explicit Origin(Loop& on_loop) : loop(on_loop), fd(listen_on_loopback(&port)) {
    watch.emplace(loop, fd.get(), [this](Ready) { take(); });
    watch->want(true, false);
  }
  void take() {
    Fd next(accept4(fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!next) return;
    accepted++;
    peers.push_back(std::make_unique<Peer>(loop, std::move(next), [this](Peer& peer) {
      if (script) {
        script(peer);
      } else {
        answer(peer);
      }
    }));
    if (tls != nullptr) {
      peers.back()->start_tls(need(TlsSession::server(*tls, name, alpn)));
    }
    if (greet) greet(*peers.back());
  }
  void answer(Peer& peer) {
    while (true) {
      const size_t head = peer.received.find("\r\n\r\n");
      if (head == std::string::npos) return;
      size_t whole = head + 4;
      const size_t length = peer.received.find("Content-Length: ");
      if (length < head) whole += std::stoul(peer.received.substr(length + 16));
      if (peer.received.size() < whole) return;
      requests.push_back(peer.received.substr(0, whole));
      peer.received.erase(0, whole);
      if (answers.empty()) return;
      std::string text = answers.front();
      if (answers.size() > 1) answers.pop_front();
      if (!text.empty()) peer.transport.write(text);
      if (text.find("Connection: close") != std::string::npos) peer.transport.end_writing();
    }
  }
  [[nodiscard]] std::string last() const { return requests.empty() ? "" : requests.back(); }

  Loop& loop;
  uint16_t port = 0;
  Fd fd;
  std::optional<Watch> watch;
  int accepted = 0;
  TlsContext* tls = nullptr;  // where set, it speaks TLS by this name
  std::string name = "api.example.com";
  std::vector<std::string> alpn = {"http/1.1"};
  std::function<void(Peer&)> greet;  // where it speaks first
  std::function<void(Peer&)> script;
  std::deque<std::string> answers{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"};
  std::vector<std::string> requests;
  std::list<std::unique_ptr<Peer>> peers;
};

struct Wall {
  Wall() {
    settings.run_name = "test";
    settings.policy.mode = Policy::Mode::permissive;
    settings.change_hint = "edit network.rules in agent.yaml";
    settings.credential_headers = {"Authorization", "X-Api-Key"};
    origin_ca_file = write_temporary(origin_ca->pem());
    settings.upstream_ca_files = {origin_ca_file};
    settings.connect_to["*"] = "127.0.0.1:" + std::to_string(origin.port);
  }
  ~Wall() {
    agents.clear();
    sessions.clear();
    unlink(ca_file.c_str());
    unlink(origin_ca_file.c_str());
  }

  void inject(const char* host, const char* secret) {
    injections.push_back(
        {"github", host, "Authorization", Secret("Bearer " + std::string(secret)), Secret(secret)});
  }
  // The first use ends the setting of things.
  World& the_world() {
    if (!world) {
      trust = std::make_unique<TrustStore>(settings.upstream_ca_files);
      tls = std::make_unique<TlsContext>(*ca, *trust);
      mint = std::make_unique<Mint>(settings.mintings, settings.credential_headers, system_clock());
      for (Placeholder& mark : mint->marks()) settings.placeholders.push_back(std::move(mark));
      injector = std::make_unique<Injector>(std::move(injections), settings.credential_headers,
                                            settings.placeholders);
      upstream = std::make_unique<Upstream>(
          loop, settings, *tls, system_clock(),
          [this](const std::string& name, uint16_t port, Resolver::Done done) {
            resolved.push_back(name);
            return resolver.resolve(leads_to.empty() ? name : leads_to, port, std::move(done));
          });
      world.reset(new World{loop, settings, recorder, system_clock(), *injector, *upstream, names,
                            *tls, *mint});
    }
    return *world;
  }
  void origin_speaks_tls(const char* name = "api.example.com") {
    origin.name = name;
    origin.tls = &origin_tls;
  }
  // The address that stands for a name inside the sandbox.
  SocketAddress address_of(const std::string& name, uint16_t port) {
    const auto pair = names.address_of(name);
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    memcpy(&in.sin_addr, pair->ipv4.data(), 4);
    return SocketAddress::from(reinterpret_cast<const sockaddr*>(&in), sizeof in);
  }
  // A program in the sandbox connects to this address: its end.
  Fd open(const SocketAddress& address, const std::string& name = "") {
    auto pair = need(make_socket_pair(SOCK_STREAM));
    const auto place = sessions.emplace(sessions.end());
    *place = std::make_unique<Session>(the_world(), std::move(pair.first), Wanted{address, name},
                                       [this, place] {
                                         sessions.erase(place);
                                         over++;
                                       });
    return std::move(pair.second);
  }
  Peer& connect(const SocketAddress& address, const std::string& name = "") {
    agents.push_back(std::make_unique<Peer>(loop, open(address, name)));
    return *agents.back();
  }
  Peer& connect(const char* name, uint16_t port) { return connect(address_of(name, port)); }
  void agent_tls(Peer& agent, const std::string& name) {
    agent.start_tls(need(TlsSession::client(agent_context, name, {"http/1.1"}, "")));
  }
  Peer& connect_tls(const char* name, uint16_t port = 443) {
    Peer& agent = connect(name, port);
    agent_tls(agent, name);
    return agent;
  }
  template <class Done>
  bool until(Done done) {
    return turn_until(loop, done);
  }
  // Until the agent has this text, or has lost its connection.
  bool until_has(Peer& agent, const char* text) {
    turn_until(loop, [&] { return agent.has(text) || agent.gone(); });
    if (!agent.has(text)) {
      print_error("instead of \"%s\": %s %s\n", text, agent.received.c_str(), agent.error.c_str());
      for (const Exchange& e : recorder.exchanges) print_error("  record: %s\n", e.reason.c_str());
    }
    return agent.has(text);
  }
  bool until_told(size_t count = 1) {
    return turn_until(loop, [&] { return recorder.exchanges.size() >= count; });
  }
  const Exchange& told() { return recorder.exchanges.back(); }

  Loop loop;
  Settings settings;
  std::vector<Injection> injections;
  std::unique_ptr<Ca> ca = need(Ca::create("test"));
  std::unique_ptr<Ca> origin_ca = need(Ca::create("origins"));
  std::string ca_file;
  std::string origin_ca_file;
  Recorder recorder;
  NameTable names;
  Resolver resolver{loop};
  std::string leads_to;  // where every name resolves to, if set
  std::vector<std::string> resolved;
  TrustStore no_trust{{}};
  TlsContext origin_tls{*origin_ca, no_trust};
  Origin origin{loop};
  std::unique_ptr<TrustStore> trust;
  std::unique_ptr<TlsContext> tls;
  std::unique_ptr<Mint> mint;
  std::unique_ptr<Injector> injector;
  std::unique_ptr<Upstream> upstream;
  std::unique_ptr<World> world;
  std::list<std::unique_ptr<Session>> sessions;
  std::list<std::unique_ptr<Peer>> agents;
  std::unique_ptr<TrustStore> agent_trust =
      std::make_unique<TrustStore>(std::vector<std::string>{ca_file = write_temporary(ca->pem())});
  TlsContext agent_context{*ca, *agent_trust};
  // Of programs that trust the origins' authority, and not the run's.
  std::unique_ptr<TrustStore> pinned_trust;
  std::unique_ptr<TlsContext> pinned;
  int over = 0;
};

}  // namespace moat::test
