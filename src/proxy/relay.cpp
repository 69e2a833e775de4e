#include "proxy/relay.h"

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "proxy/content_coding.h"
#include "proxy/forwarding.h"
#include "proxy/name_service.h"

namespace moat::proxy {
namespace {

Refusal misdirected(std::string reason) {
  Refusal refusal;
  refusal.status = 421;
  refusal.reason = std::move(reason);
  return refusal;
}

Refusal unknown_client() {
  Refusal refusal;
  refusal.status = 407;
  refusal.reason = "this proxy wants to be shown a user and a password that it knows";
  return refusal;
}

Refusal denied(const Decision& decision, const Settings& settings) {
  Refusal refusal;
  if (!decision.fixed) refusal.hint = settings.change_hint;
  refusal.reason = decision.reason;
  refusal.rule = decision.rule;
  refusal.where = decision.where;
  return refusal;
}

}  // namespace

Relay::Relay(World& world, AgentSide& agent, Anchor& anchor, std::string client_version)
    : world_(world), agent_(agent), anchor_(anchor), start_mono_ns_(world.clock.monotonic_ns()) {
  record_.request_id = world.ids.next();
  record_.start_ns = world.clock.wall_ns();
  record_.wanted = anchor.wanted;
  record_.scheme = anchor.scheme;
  record_.host = anchor.host;
  record_.port = anchor.port;
  record_.client_version = std::move(client_version);
}

Relay::~Relay() {
  if (opening_ && record_.address.empty()) record_.address = opening_->address();
  if (!told_ && record_.reason.empty()) record_.reason = "moat ended the connection";
  tell();
  if (origin_) world_.upstream.give_back(target_, std::move(origin_));
}

int64_t Relay::since_start() const {
  return world_.clock.monotonic_ns() - start_mono_ns_;
}

void Relay::tell() {
  if (std::exchange(told_, true)) return;
  record_.end_ns = since_start();
  world_.observer.on_exchange(std::move(record_));
}

void Relay::finish(bool cut) {
  if (std::exchange(over_, true)) return;
  record_.complete = !cut && request_done_ && response_done_;
  if (origin_ && !record_.complete) origin_->stop();
  tell();
  agent_.finished(cut);
}

void Relay::refuse(const Refusal& refusal) {
  if (over_) return;
  if (origin_) origin_->stop();
  opening_.reset();
  record_.refused = refusal.ours;
  record_.reason = refusal.reason;
  if (refusal.ours) {
    record_.rule = refusal.rule;
    record_.rule_where = refusal.where;
  }
  if (response_begun_) return finish(true);
  const bool to_head = record_.method == "HEAD";
  RefusalMessage message = render(refusal, record_.request_id, to_head);
  record_.status = message.head.status;
  record_.response_headers = message.head.headers;
  record_.response_bytes = message.body.size();
  response_begun_ = response_done_ = true;
  const BodyLength length =
      to_head ? BodyLength{} : BodyLength{BodyLength::Kind::counted, message.body.size()};
  keep(record_.response_body, message.head.headers);
  agent_.send_head(std::move(message.head), length);
  give(message.body);
  agent_.send_end({});
  finish(false);
}

// The one name: what the connection says and what the request says must be the same.
Result<Relay::Place> Relay::agree(const RequestHead& head, Refusal& refusal) {
  const auto differ = [&refusal](std::string why) {
    refusal = misdirected(std::move(why));
    return error(Errc::denied, "%s", refusal.reason.c_str());
  };
  if (!anchor_.mismatch.empty()) return differ(anchor_.mismatch);
  const bool absolute = !head.scheme.empty();
  Authority named;
  if (!head.authority.empty()) {
    auto parsed = parse_authority(head.authority);
    if (!parsed) {
      refusal = refusal_for_syntax(parsed.error());
      return parsed.error();
    }
    named = std::move(*parsed);
    named.host = canonical_host(named.host);
  }
  const bool explicit_proxy = anchor_.scheme == "http" && !anchor_.tunnelled;
  if (absolute && explicit_proxy) {
    return Place{head.scheme, named.host, named.port.value_or(default_port(head.scheme))};
  }
  if (anchor_.host == proxy_name) {
    return differ(std::string(proxy_name) +
                  " is the proxy itself; ask it by CONNECT or with a whole URL");
  }
  if (absolute && head.scheme != anchor_.scheme) {
    return differ("the request is for " + head.scheme + " on a connection for " + anchor_.scheme);
  }
  if (named.host.empty()) named.host = anchor_.host;
  const bool settles = anchor_.open && anchor_.scheme == "http";
  if (settles) {
    anchor_.host = named.host;
    anchor_.open = false;
  }
  if (named.host != anchor_.host) {
    return differ("the request names " + named.host + " on a connection for " + anchor_.host);
  }
  if (named.port && *named.port != anchor_.port) {
    return differ("the request names port " + std::to_string(*named.port) +
                  " on a connection to port " + std::to_string(anchor_.port));
  }
  return Place{anchor_.scheme, anchor_.host, anchor_.port};
}

std::optional<Refusal> Relay::judge(const Place& place) {
  const auto& policy = world_.settings.policy;
  Decision decision = decide(policy, place.host, place.port, request_.method, request_.path);
  if (!decision.allowed) return denied(decision, world_.settings);
  record_.rule = decision.rule;
  record_.rule_where = decision.where;
  target_.local = decision.local_allowed;
  // Some origins take the method from a header; it must be allowed as well.
  const std::string other = overridden_method(request_.headers);
  if (other.empty() || other == request_.method) return std::nullopt;
  decision = decide(policy, place.host, place.port, other, request_.path);
  if (!decision.allowed) return denied(decision, world_.settings);
  return std::nullopt;
}

void Relay::on_request(RequestHead head, BodyLength length) {
  record_.method = head.method;
  record_.path = head.path;
  record_.request_headers = head.headers;
  request_ = std::move(head);
  request_length_ = length;
  request_done_ = length.kind == BodyLength::Kind::none ||
                  (length.kind == BodyLength::Kind::counted && length.bytes == 0);
  if (!request_done_) keep(record_.request_body, request_.headers);
  if (const auto recording = world_.observer.recording(); !recording) {
    Refusal refusal;
    refusal.status = 503;
    refusal.reason = "what happens cannot be recorded: " + recording.error().message;
    return refuse(refusal);
  }
  if (anchor_.stranger() && !anchor_.gate->lets_in(request_.headers)) {
    told_ = !anchor_.gate->worth_telling(start_mono_ns_);
    return refuse(unknown_client());
  }
  if (request_.method == "CONNECT") return connect_requested();
  Refusal refusal;
  const auto place = agree(request_, refusal);
  if (!place) return refuse(refusal);
  record_.scheme = place->scheme;
  record_.host = place->host;
  record_.port = place->port;
  if (auto refused = judge(*place)) return refuse(*refused);
  if (auto refused = stray(nullptr)) return refuse(*refused);
  target_.scheme = place->scheme;
  target_.host = place->host;
  target_.port = place->port;
  request_.authority = request_.authority.empty()
                           ? authority_text(place->host, place->port, place->scheme)
                           : request_.authority;
  upgrade_ = wanted_upgrade(request_, length);
  target_.upgrade = upgrade_.has_value();
  if (!begin_signing(request_)) return;
  request_.major = request_.minor = 1;
  const bool trailers = has_token(request_.headers, "TE", "trailers");
  remove_hop_by_hop(request_.headers);
  if (trailers) {
    request_.headers.push_back({"TE", "trailers"});
    request_.headers.push_back({"Connection", "TE"});
  }
  if (upgrade_) set_upgrade(request_.headers, *upgrade_);
  if (!signing_) return open_origin(false);
  if (!gathering_ || request_done_) check_signature();
}

std::weak_ptr<char> Relay::life() {
  if (!life_) life_ = std::make_shared<char>('\0');
  return life_;
}

void Relay::on_refused_request(const RequestHead& head, const Refusal& refusal) {
  record_.method = head.method;
  record_.path = head.path;
  record_.request_headers = head.headers;
  refuse(refusal);
}

// An explicit proxy's request: from here on the connection is for that name.
void Relay::connect_requested() {
  const auto authority = parse_authority(request_.authority);
  Refusal refusal;
  if (!authority || !authority->port) {
    refusal.status = 400;
    refusal.reason = "a CONNECT names a host and a port";
    return refuse(refusal);
  }
  std::string host = canonical_host(authority->host);
  const uint16_t port = *authority->port;
  record_.host = host;
  record_.port = port;
  if (anchor_.tunnelled || anchor_.scheme != "http") {
    return refuse(misdirected("a CONNECT within a connection for " + anchor_.host +
                              " leads nowhere; send it outside of TLS and of other CONNECTs"));
  }
  if (const auto address = SocketAddress::from_ip(host, port)) {
    const NameTable::Found found = world_.names.find(*address);
    if (found.kind == NameTable::Kind::unknown) {
      refusal.reason = host + " stands for no name that was asked for";
      return refuse(refusal);
    }
    if (found.kind == NameTable::Kind::known) host = record_.host = found.name;
  }
  // An address literal is judged with each request: the SNI or Host may still name a host.
  if (!SocketAddress::from_ip(host, port)) {
    const Decision decision = decide_host(world_.settings.policy, host, port);
    if (!decision.allowed) return refuse(denied(decision, world_.settings));
  }
  told_ = true;  // each exchange within is told; this was only the way to them
  over_ = request_done_ = response_done_ = true;
  agent_.accept_connect(host, port);
}

void Relay::open_origin(bool fresh) {
  sent_ = false;
  origin_ = fresh ? nullptr : world_.upstream.take_idle(target_);
  if (origin_) return send_request();
  opening_ = world_.upstream.open(
      target_, [this](Result<std::unique_ptr<OriginSide>> origin) { opened(std::move(origin)); });
}

void Relay::opened(Result<std::unique_ptr<OriginSide>> origin) {
  const OpeningTimes times = opening_->times();
  const auto relative = [this](int64_t at) { return at > 0 ? at - start_mono_ns_ : -1; };
  record_.resolved_ns = relative(times.resolved_ns);
  record_.connected_ns = relative(times.connected_ns);
  record_.tls_ns = relative(times.tls_ns);
  record_.address = opening_->address();
  opening_.reset();  // we are in its callback, and it is done with us
  agent_.moved();
  if (!origin) return fail(origin.error());
  origin_ = std::move(*origin);
  send_request();
  if (!over_ && !request_done_) agent_.resume();
}

void Relay::send_request() {
  record_.address = origin_->address();
  sent_ = true;
  if (signing_ || minting_ != nullptr || world_.mint.size() > 0 ||
      world_.injector.has_injection(target_.host)) {
    start_with_credential();
  } else {
    origin_->start(*this, request_, request_length_);
  }
  if (over_) return;
  record_.reused = origin_->reused();
  if (std::exchange(gathering_, false)) {
    std::string body = signing_->take_body();
    origin_->send_body(body);
    wipe(body);
  }
  // It may have ended before there was somebody to tell.
  if (request_done_) origin_->send_end({});
}

bool Relay::takes_body() const {
  if (over_) return true;  // and drops it
  if (gathering_) return !request_done_;
  return origin_ && sent_ && !origin_->full();
}

void Relay::on_request_body(std::string_view bytes) {
  if (over_ || (!origin_ && !gathering_)) return;
  record_.request_bytes += bytes.size();
  if (json_ == nullptr) record_.request_body.add(bytes);  // else once it is known what it holds
  if (gathering_) return gather(bytes);
  if (!signing_ || tunnel_) return origin_->send_body(bytes);
  const auto passed = signing_->pass(bytes);
  if (!passed) return refuse(unfit(passed.error()));
  if (!passed->empty()) origin_->send_body(*passed);
}

void Relay::on_request_end(const Headers& trailers) {
  if (over_ || std::exchange(request_done_, true)) return;
  if (gathering_) return check_signature();
  if (signing_ && !tunnel_) {
    if (auto whole = signing_->finish(); !whole) return refuse(unfit(whole.error()));
  }
  const auto passed = checked_trailers(trailers);
  if (!passed) return;
  if (origin_ && sent_) origin_->send_end(*passed);
  if (tunnel_ && response_done_) finish(false);
}

void Relay::on_agent_drained() {
  if (!over_ && origin_) origin_->resume();
}

void Relay::on_agent_gone(const std::string& why, bool flushed) {
  if (over_) return;
  opening_.reset();
  if (flushed && request_done_ && owed_ == uint64_t{0}) {
    response_done_ = true;
    origin_->stop();
    return finish(false);
  }
  if (record_.reason.empty()) record_.reason = why;
  finish(true);
}

void Relay::on_idle() {
  if (over_) return;
  fail(error(Errc::timeout, "no byte came from %s or for it in too long a time",
             record_.host.c_str()));
}

void Relay::on_origin_drained() {
  if (!over_) agent_.resume();
}

bool Relay::takes_response() const {
  return over_ || (!looking_ && !agent_.full());
}

void Relay::scrub_headers(Headers& headers) {
  if (scrub_ == nullptr) return;
  for (Header& header : headers) {
    for (std::string* text : {&header.name, &header.value}) {
      if (scrub_->clean(*text)) continue;
      size_t hits = 0;
      *text = scrub(*scrub_, *text, &hits);
      record_.scrubbed += hits;
    }
  }
}

void Relay::scrub_head(ResponseHead& head) {
  if (scrub_ == nullptr) return;
  size_t hits = 0;
  head.reason = scrub(*scrub_, head.reason, &hits);
  record_.scrubbed += hits;
  scrub_headers(head.headers);
}

void Relay::on_informational(ResponseHead head) {
  if (over_) return;
  agent_.moved();
  remove_hop_by_hop(head.headers);
  scrub_head(head);
  agent_.send_informational(std::move(head));
}

bool Relay::switch_protocols(ResponseHead& head) {
  const Header* upgrade = find(head.headers, "Upgrade");
  if (!upgrade_ || upgrade == nullptr || !equals_ignoring_case(upgrade->value, *upgrade_)) {
    return false;
  }
  const std::string protocol = upgrade->value;
  remove_hop_by_hop(head.headers);
  set_upgrade(head.headers, protocol);
  scrub_head(head);
  record_.status = head.status;
  record_.response_headers = head.headers;
  response_begun_ = tunnel_ = true;
  request_done_ = false;
  origin_->become_tunnel();
  agent_.switch_protocols(std::move(head));
  return true;
}

void Relay::on_response(ResponseHead head, BodyLength length) {
  if (over_) return;
  agent_.moved();
  record_.first_byte_ns = since_start();
  record_.origin_version = origin_->version();
  if (head.status == 101) {
    if (!switch_protocols(head)) {
      fail(error(Errc::invalid, "%s switched to a protocol that was not asked for",
                 record_.host.c_str()));
    }
    return;
  }
  if (head.status == 407) {
    return fail(
        error(Errc::invalid, "%s answered 407, which only a proxy may", record_.host.c_str()));
  }
  if (minting_ != nullptr && length.kind != BodyLength::Kind::none) {
    auto begun = MintedAnswer::begin(world_.mint, *minting_, std::move(head), length);
    if (!begun) return fail(begun.error().in(record_.host));
    answer_ = std::move(*begun);
    return;
  }
  if (!legible(head, length)) return;
  remove_hop_by_hop(head.headers);
  scrub_head(head);
  record_.status = head.status;
  record_.response_headers = head.headers;
  keep(record_.response_body, head.headers);
  response_begun_ = true;
  if (length.kind == BodyLength::Kind::counted) owed_ = length.bytes;
  agent_.send_head(std::move(head), length);
}

// Can the response be searched for the credential, where it has to be? Makes ready for that, or
// fails.
bool Relay::legible(ResponseHead& head, BodyLength& length) {
  if (scrub_ == nullptr || length.kind == BodyLength::Kind::none) return true;
  const Coding coding = content_coding(head.headers);
  if (coding == Coding::identity) return true;
  if (coding == Coding::other || head.status == 206) {
    const Header* named = find(head.headers, "Content-Encoding");
    fail(error(Errc::unsupported,
               "%s sent its answer%s%s in a coding that it was not asked for, and it cannot be "
               "searched for the credential",
               record_.host.c_str(), named != nullptr ? " as " : "",
               named != nullptr ? scrub(*scrub_, named->value).substr(0, 40).c_str() : ""));
    return false;
  }
  scrubber_.reset();
  gzip_ = std::make_unique<GzipFilter>(*scrub_);
  // If a secret is found, what is compressed anew has a length of its own.
  if (length.kind == BodyLength::Kind::counted) {
    remove_all(head.headers, "Content-Length");
    length = {BodyLength::Kind::chunked, 0};
  }
  return true;
}

void Relay::keep(Snippet& body, const Headers& headers) const {
  if (world_.settings.keep_bodies) body.begin(headers);
}

// Body, as the agent receives it.
void Relay::give(std::string_view bytes) {
  if (owed_) *owed_ -= std::min<uint64_t>(*owed_, bytes.size());
  record_.response_body.add(bytes);
  agent_.send_body(bytes);
}

void Relay::on_response_body(std::string_view bytes) {
  if (over_) return;
  agent_.moved();
  record_.response_bytes += bytes.size();
  if (answer_) {
    if (auto gathered = answer_->gather(bytes); !gathered) fail(gathered.error().in(record_.host));
    return;
  }
  learn();
  if (gzip_) {
    gzip_->push(bytes);
    if (!looking_) look_into();
  } else if (scrubber_) {
    give(scrubber_->feed(bytes));
  } else {
    give(bytes);
  }
}

// A slice in each turn, for a few bytes may hold very much text.
void Relay::look_into() {
  if (over_) return;
  std::string clean;
  const auto more = gzip_->step(clean);
  if (!clean.empty()) give(clean);
  if (!more) return fail(more.error().in(record_.host));
  const bool waited = std::exchange(looking_, *more);
  if (looking_) {
    world_.loop.defer([this, life = life()] {
      if (!life.expired()) look_into();
    });
  } else if (trailers_) {
    end_response(*trailers_);
  } else if (waited) {
    origin_->resume();
  }
}

void Relay::on_response_end(Headers trailers) {
  if (over_) return;
  agent_.moved();
  if (answer_) return finish_minting(trailers);
  if (!gzip_) return end_response(trailers);
  gzip_->end();
  trailers_ = std::move(trailers);
  if (!looking_) look_into();
}

void Relay::end_response(Headers& trailers) {
  response_done_ = true;
  if (scrubber_) give(scrubber_->finish());
  count_scrubbed();
  remove_hop_by_hop(trailers);
  scrub_headers(trailers);
  agent_.send_end(trailers);
  if (!tunnel_ || request_done_) finish(false);
}

void Relay::count_scrubbed() {
  if (scrubber_) record_.scrubbed += scrubber_->hits();
  if (gzip_) record_.scrubbed += gzip_->hits();
}

void Relay::on_origin_failed(const Error& error) {
  if (over_) return;
  const bool untouched = !origin_->answered() && record_.request_bytes == 0;
  const bool harmless = origin_->unseen() || (origin_->reused() && is_idempotent(request_.method));
  if (untouched && harmless && !retried_) {
    retried_ = true;
    return open_origin(true);  // destroys the origin, in its callback's last breath
  }
  fail(error.in(record_.host));
}

// The origin's fault, or the way to it.
void Relay::fail(const Error& error) {
  if (over_) return;
  count_scrubbed();
  Refusal refusal = refusal_for(error);
  if (refusal.ours) {
    refusal.rule = "address guard";
    refusal.hint = world_.settings.local_hint;
  }
  refuse(refusal);
}

}  // namespace moat::proxy
