// Relay: what concerns credentials. They are put on requests, or sign them; tokens that answers
// hold are taken out, and kept out of what follows.
#include <algorithm>
#include <utility>

#include "core/text.h"
#include "proxy/content_coding.h"
#include "proxy/forwarding.h"
#include "proxy/relay.h"

namespace moat::proxy {

// Of the head as it came. False where that is the end of it.
bool Relay::begin_signing(const RequestHead& head) {
  minting_ = world_.mint.minting_for(target_.scheme, target_.host, head.path);
  for (const auto& signer : world_.settings.signers) {
    const auto& hosts = signer->hosts();
    if (std::none_of(hosts.begin(), hosts.end(), [this](const std::string& pattern) {
          return host_matches(pattern, target_.host);
        }))
      continue;
    auto begun = signer->begin(target_.scheme, target_.host, head, request_length_);
    if (!begun) {
      refuse(refusal_for_signing(begun.error()));
      return false;
    }
    signing_ = std::move(*begun);
    await_body();
    return true;
  }
  return begin_body(head);
}

bool Relay::begin_body(const RequestHead& head) {
  auto body = JsonBody::begin(world_.injector, target_.scheme, target_.host, head, request_length_,
                              world_.json_bytes);
  if (!body) {
    refuse(refusal_for_body(body.error()));
    return false;
  }
  json_ = body->get();
  signing_ = std::move(*body);
  if (signing_) await_body();
  return true;
}

void Relay::await_body() {
  gathering_ = signing_->wants_body();
  // Who waits to be told to go on would wait for an origin that has not been asked yet.
  if (!gathering_ || remove_all(request_.headers, "Expect") == 0) return;
  ResponseHead go_on;
  go_on.status = 100;
  go_on.reason = "Continue";
  agent_.send_informational(std::move(go_on));
}

Refusal Relay::unfit(const Error& error) const {
  return json_ != nullptr ? refusal_for_body(error) : refusal_for_signing(error);
}

void Relay::gather(std::string_view bytes) {
  agent_.moved();
  if (auto gathered = signing_->gather(bytes); !gathered) refuse(unfit(gathered.error()));
}

void Relay::check_signature() {
  signing_->check([this, life = life()](const Result<void>& checked) {
    if (!life.expired()) on_checked(checked);
  });
}

void Relay::on_checked(const Result<void>& checked) {
  if (over_) return;
  if (!checked) return refuse(unfit(checked.error()));
  if (json_ != nullptr) record_.request_body.add(json_->shown());
  open_origin(false);
}

// On a copy that is wiped, for the request may have to be sent again, and is on record.
void Relay::start_with_credential() {
  RequestHead head = request_;
  const auto real = world_.mint.real_for(target_.scheme, target_.host, head.headers);
  if (signing_) {
    scrub_ = signing_->secrets();
    if (json_ != nullptr) learned_ = scrub_;
  } else {
    inject(head);
  }
  if (real) expect_back(*real);
  if (minting_ != nullptr) {  // the whole of the answer is to be read
    ask_for_legible(head.headers);
    remove_all(head.headers, "Range");
  }
  if (scrub_ != nullptr) {
    ask_for_legible(head.headers);  // or secrets could hide in what comes back
    scrubber_.emplace(*scrub_);
  }
  if (const auto signed_ = sign(head); !signed_) {
    refuse(unfit(signed_.error()));
  } else {
    if (real) put_back(*real, head);
    origin_->start(*this, head, request_length_);
  }
  for (Header& header : head.headers) wipe(header.value);
  wipe(head.path);  // of a URL that is signed, the token is there
}

void Relay::inject(RequestHead& head) {
  Injector::Applied applied =
      world_.injector.apply(target_.scheme, target_.host, head.headers, head.path);
  record_.injected = std::move(applied.labels);
  record_.stripped = std::move(applied.stripped);
  scrub_ = std::move(applied.scrub);
  if (scrub_ != nullptr) learned_ = world_.injector.patterns();
}

// What the host will be told, it may tell again.
void Relay::expect_back(const Mint::Real& real) {
  tokens_.clear();
  tokens_.push_back(real.token.clone());
  learned_ = world_.injector.patterns();
  if (real.guard->basis != learned_)
    *real.guard = {learned_, world_.injector.patterns_with(tokens_)};
  scrub_ = real.guard->whole;
}

// In place of what stands there now: nothing, or the credential of which the token once came.
void Relay::put_back(const Mint::Real& real, RequestHead& head) {
  for (Header& header : head.headers) {
    if (equals_ignoring_case(header.name, real.header)) wipe(header.value);
  }
  set(head.headers, real.header, real.value.reveal());
  if (std::find(record_.injected.begin(), record_.injected.end(), real.label) ==
      record_.injected.end())
    record_.injected.push_back(real.label);
}

Result<void> Relay::sign(RequestHead& head) {
  if (!signing_) return {};
  auto applied = signing_->sign(head);
  if (!applied) return applied.error();
  record_.injected = std::move(applied->labels);
  record_.stripped = std::move(applied->stripped);
  if (json_ != nullptr) request_length_ = {BodyLength::Kind::counted, json_->size()};
  return {};
}

// Would the request take a placeholder where it does not belong? In its head, or in these.
std::optional<Refusal> Relay::stray(const Headers* trailers) const {
  const std::string* grant = trailers == nullptr ? world_.injector.strayed(record_.host, request_)
                                                 : world_.injector.strayed(record_.host, *trailers);
  if (grant == nullptr) return std::nullopt;
  Refusal refusal;
  refusal.reason = "the request would take the placeholder of the grant " + *grant + " to " +
                   record_.host + ", and it is for that grant's own hosts only";
  refusal.rule = "placeholder";
  refusal.where = "grant " + *grant;
  return refusal;
}

// Those that may go to the origin; nothing where that was the end of it.
std::optional<Headers> Relay::checked_trailers(const Headers& trailers) {
  if (trailers.empty()) return trailers;
  if (const auto refused = stray(&trailers)) {
    refuse(*refused);
    return std::nullopt;
  }
  Headers passed = trailers;
  if (world_.injector.has_injection(target_.host)) {
    for (std::string& name : world_.injector.strip(passed))
      record_.stripped.push_back(std::move(name));
  }
  return passed;
}

// A credential may be renewed while a response streams, and come back in the rest of it.
void Relay::learn() {
  if (learned_ == nullptr || learned_ == world_.injector.patterns()) return;
  learned_ = world_.injector.patterns();
  auto fresh = tokens_.empty() ? learned_ : world_.injector.patterns_with(tokens_);
  if (scrubber_) scrubber_->learn(*fresh);
  if (gzip_) gzip_->learn(*fresh);
  scrub_ = std::move(fresh);
}

// The agent learns of placeholders; of the tokens nobody but the mint, and what keeps them out of
// the rest of the answer.
void Relay::finish_minting(Headers& trailers) {
  auto answer = answer_->finish();
  answer_.reset();
  if (!answer) return fail(answer.error().in(record_.host));
  scrubber_.reset();
  if (scrub_ != nullptr || !answer->tokens.empty()) {
    for (Secret& token : tokens_) answer->tokens.push_back(std::move(token));
    tokens_ = std::move(answer->tokens);
    scrub_ = world_.injector.patterns_with(tokens_);
  }
  ResponseHead head = std::move(answer->head);
  std::string body = std::move(answer->body);
  remove_hop_by_hop(head.headers);
  scrub_head(head);
  if (scrub_ != nullptr && !scrub_->clean(body)) {
    size_t hits = 0;
    std::string clean = scrub(*scrub_, body, &hits);
    record_.scrubbed += hits;
    wipe(body);
    body = std::move(clean);
  }
  if (answer->minted.tokens > 0) {
    answer->minted.request_id = record_.request_id;
    answer->minted.host = record_.host;
    world_.observer.on_minted(answer->minted);
  }
  record_.status = head.status;
  record_.response_headers = head.headers;
  keep(record_.response_body, head.headers);
  response_begun_ = true;
  agent_.send_head(std::move(head), {BodyLength::Kind::counted, body.size()});
  give(body);
  end_response(trailers);
}

}  // namespace moat::proxy
