// Relay: one exchange in progress, from the head of the request to its record. Decides whether it
// may pass, puts the credential on it, moves the bodies, keeps secrets out of the answer. Knows
// neither sockets nor the version of HTTP on either side.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "proxy/client_gate.h"
#include "proxy/gzip_filter.h"
#include "proxy/injection.h"
#include "proxy/json_body.h"
#include "proxy/minted_answer.h"
#include "proxy/minting.h"
#include "proxy/name_table.h"
#include "proxy/observer.h"
#include "proxy/proxy.h"
#include "proxy/refusal.h"
#include "proxy/request_ids.h"
#include "proxy/request_signer.h"
#include "proxy/scrubber.h"
#include "proxy/sides.h"
#include "proxy/upstream.h"

namespace moat::proxy {

// What the exchanges of a run share.
struct World {
  Loop& loop;
  const Settings& settings;
  Observer& observer;
  const Clock& clock;
  const Injector& injector;
  Upstream& upstream;
  NameTable& names;
  TlsContext& tls;
  Mint& mint;
  RequestIds ids = {};
  size_t json_bytes = 0;  // of bodies that wait to be given a credential
};

// What a connection of the agent's says about where its requests go.
struct Anchor {
  std::string wanted;  // the address that the program connected to
  std::string scheme;  // "http", "https"
  std::string host;    // of the DNS answer, the CONNECT target, the SNI; or an address literal
  uint16_t port = 0;
  bool open = false;           // host is a literal, and the first Host may name a host instead
  bool tunnelled = false;      // within a CONNECT
  std::string mismatch;        // why its names contradict each other already, or ""
  ClientGate* gate = nullptr;  // whom each request has to satisfy, outside of a CONNECT
  // Nothing has shown yet that whoever connected may do so.
  [[nodiscard]] bool stranger() const { return gate != nullptr && !tunnelled; }
};

class Relay final : private OriginSide::Handler {
 public:
  // The anchor may be settled by the first request, if it is open.
  Relay(World& world, AgentSide& agent, Anchor& anchor, std::string client_version);
  ~Relay() override;  // tells the observer, if that was not done yet
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // What the agent's side tells. After an end nothing more is due.
  void on_request(RequestHead head, BodyLength length);
  // One that the agent's side refuses by itself, told with all that is known of it.
  void on_refused_request(const RequestHead& head, const Refusal& refusal);
  void on_request_body(std::string_view bytes);
  void on_request_end(const Headers& trailers);
  void on_agent_drained();
  // `flushed`: all that it was sent has left. Where that was the whole of a counted body, it need
  // not wait for the end that HTTP/2 tells of by a frame of its own, and the exchange was complete.
  void on_agent_gone(const std::string& why, bool flushed = false);
  // The time for the next byte is over.
  void on_idle();
  // Refuses on behalf of the agent's side (syntax, limits); before on_request() as well.
  void refuse(const Refusal& refusal);

  [[nodiscard]] bool takes_body() const;
  [[nodiscard]] bool over() const { return over_; }

 private:
  struct Place {
    std::string scheme;
    std::string host;
    uint16_t port = 0;
  };
  Result<Place> agree(const RequestHead& head, Refusal& refusal);
  std::optional<Refusal> judge(const Place& place);
  void connect_requested();
  void open_origin(bool fresh);
  void opened(Result<std::unique_ptr<OriginSide>> origin);
  void send_request();
  void start_with_credential();
  bool begin_signing(const RequestHead& head);
  bool begin_body(const RequestHead& head);
  void await_body();
  Refusal unfit(const Error& error) const;
  void inject(RequestHead& head);
  void expect_back(const Mint::Real& real);
  void put_back(const Mint::Real& real, RequestHead& head);
  std::optional<Refusal> stray(const Headers* trailers) const;
  std::optional<Headers> checked_trailers(const Headers& trailers);
  void gather(std::string_view bytes);
  void check_signature();
  void on_checked(const Result<void>& checked);
  Result<void> sign(RequestHead& head);

  void on_informational(ResponseHead head) override;
  void on_response(ResponseHead head, BodyLength length) override;
  void on_response_body(std::string_view bytes) override;
  void on_response_end(Headers trailers) override;
  void on_origin_drained() override;
  void on_origin_failed(const Error& error) override;
  [[nodiscard]] bool takes_response() const override;

  bool switch_protocols(ResponseHead& head);
  void finish_minting(Headers& trailers);
  void learn();
  bool legible(ResponseHead& head, BodyLength& length);
  void keep(Snippet& body, const Headers& headers) const;
  void give(std::string_view bytes);
  void scrub_head(ResponseHead& head);
  void scrub_headers(Headers& headers);
  void look_into();
  void end_response(Headers& trailers);
  void count_scrubbed();
  void fail(const Error& error);
  void finish(bool cut);
  void tell();
  std::weak_ptr<char> life();
  [[nodiscard]] int64_t since_start() const;

  World& world_;
  AgentSide& agent_;
  Anchor& anchor_;
  Exchange record_;
  int64_t start_mono_ns_;

  RequestHead request_;  // as it is passed on, but without what is injected
  BodyLength request_length_;
  OriginTarget target_;
  std::optional<std::string> upgrade_;       // the protocol that was asked for
  std::unique_ptr<RequestSigning> signing_;  // where the host's requests are signed
  bool gathering_ = false;                   // the body, for that
  JsonBody* json_ = nullptr;                 // signing_, where it puts a credential into the body
  const Minting* minting_ = nullptr;         // where tokens stand in the answer
  std::unique_ptr<MintedAnswer> answer_;     // that
  std::shared_ptr<const ScrubPatterns> scrub_;
  std::shared_ptr<const ScrubPatterns> learned_;  // of the injector's, what scrub_ has; or null
  std::vector<Secret> tokens_;                    // and these, of the mint's
  std::optional<Scrubber> scrubber_;
  std::unique_ptr<GzipFilter> gzip_;  // instead of it, where the response is compressed
  bool looking_ = false;              // it has more to do, in turns to come
  std::optional<Headers> trailers_;   // of a response that has ended, but was not looked into yet

  std::unique_ptr<OriginOpening> opening_;
  std::unique_ptr<OriginSide> origin_;
  bool sent_ = false;  // the request's head, on the origin that is there now
  bool retried_ = false;
  bool request_done_ = false;
  std::optional<uint64_t> owed_;  // bytes of the answer's body to come, where that is known
  bool response_begun_ = false;   // towards the agent
  bool response_done_ = false;
  bool tunnel_ = false;
  bool over_ = false;
  bool told_ = false;
  std::shared_ptr<char> life_;  // of what is deferred or waited for; made when something is
};

}  // namespace moat::proxy
