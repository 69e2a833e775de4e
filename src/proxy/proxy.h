// Proxy: the wall. Takes the sandbox's listeners, and serves every connection that comes from them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/fd.h"
#include "core/loop.h"
#include "core/resolver.h"
#include "core/result.h"
#include "core/secret.h"
#include "proxy/ca.h"
#include "proxy/http1.h"
#include "proxy/http2_limits.h"
#include "proxy/injection.h"
#include "proxy/minting.h"
#include "proxy/observer.h"
#include "proxy/policy.h"
#include "proxy/request_signer.h"
#include "proxy/upstream_proxy.h"

namespace moat::proxy {

// Each with its default; moat(7) lists them, and the status that each gives.
struct Limits {
  Http1Limits http1;
  Http2Limits http2;
  // Of the agent's at once; more wait in the backlog. Never more than three quarters of what the
  // process may open, so that those which are served reach their origins.
  size_t connections = 16'384;
  size_t pooled_per_origin = 64;     // idle connections kept
  size_t pooled = 256;               // of all origins; a descriptor and some 30 KiB each
  size_t shared_per_origin = 8;      // HTTP/2 connections; with all their streams, 1024 exchanges
  size_t buffer_bytes = 256 * 1024;  // a connection and direction
  Milliseconds first_bytes{10'000};  // until a connection says what it is
  Milliseconds handshake{15'000};
  Milliseconds head{30'000};     // from a request's first byte to the end of its head
  Milliseconds idle{3'600'000};  // no byte either way within an exchange
  // No byte either way in what has become bytes: WebSockets and their like, `tcp`, passthrough.
  Milliseconds tunnel_idle{24 * 3'600'000};
  // For an answer's next byte, once the agent has ended its direction of a connection without TLS:
  // one that is gone looks the same as one that only has no more to say.
  Milliseconds half_closed{30'000};
  Milliseconds keep_alive{120'000};  // between requests, agent's side
  Milliseconds pool_idle{30'000};    // between requests, origin's side
  Milliseconds resolve{10'000};
  Milliseconds connect{15'000};
  // For a stream on a connection of another's: as long as an own one would take at most.
  [[nodiscard]] Milliseconds stream_wait() const { return resolve + connect + handshake; }
};

struct Settings {
  std::string run_name;  // in the CA's subject
  Policy policy;
  std::vector<Injection> injections;
  std::vector<std::shared_ptr<RequestSigner>> signers;  // the first that is for a host counts
  std::vector<std::string> credential_headers;
  std::vector<Placeholder> placeholders;
  std::vector<Minting> mintings;
  std::map<std::string, std::string> connect_to;  // "host:port" → "address:port"; host may be "*"
  std::vector<std::string> upstream_ca_files;
  std::shared_ptr<const UpstreamProxy> upstream_proxy;  // null: directly
  std::string no_proxy;         // hosts that are reached directly all the same, see core/no_proxy.h
  std::vector<Secret> clients;  // "user:password", for listeners that authenticate
  // What a refusal tells the user to do: of the policy, and of the address guard.
  std::string change_hint;  // "edit network.rules in agent.yaml"
  std::string local_hint;   // "name the host as local"
  bool keep_bodies = true;  // how those that are text begin is told to the observer
  Limits limits;
};

struct Listener {
  enum class Kind {
    tcp,  // stands in for every address
    dns_udp,
    dns_tcp,
    forward,  // is a proxy by name, asked by CONNECT or with whole URLs; nothing else is served
  };
  Kind kind = Kind::tcp;
  bool ipv6 = false;
  bool redirected = true;  // the wanted address is SO_ORIGINAL_DST; else getsockname()
  Fd fd;
  std::string name;           // of a forward listener, for the record: "127.0.0.1:8080"
  bool authenticate = false;  // its clients are those of Settings::clients
  // Each connection begins with a PROXY protocol header, which says what address is wanted, and
  // under what name: for a relay that stands between, and is believed. Kind::tcp only.
  bool proxy_v2 = false;
};

class Proxy {
 public:
  // The observer outlives the proxy. Errc::invalid names rules that contradict each other, or an
  // injection: what nobody looks at can neither be judged by its path nor be given a credential.
  static Result<std::unique_ptr<Proxy>> create(Loop& loop, Settings settings, Observer& observer);
  ~Proxy();  // cuts every connection; each is told to the observer first
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  [[nodiscard]] const std::string& ca_pem() const;
  void listen(Listener listener);
  // See Injector::replace().
  void replace(const std::vector<Injection>& fresh);
  // The programs have ended: what they have sent still goes on its way, and nothing new is taken.
  // `done`, once and from the loop: no connection is left, or it has taken `at_most`.
  void drain(Milliseconds at_most, std::function<void()> done);
  [[nodiscard]] size_t connections() const;

 private:
  struct Impl;
  explicit Proxy(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat::proxy
