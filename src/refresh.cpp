#include "refresh.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"
#include "form_text.h"
#include "grant_facts.h"
#include "token_answer.h"

namespace moat {
namespace {

constexpr size_t max_answer = 64 * 1024;
constexpr int64_t second_ns = 1'000'000'000;
// Before a token expires: five minutes, or half of what is left where that is less.
constexpr int64_t usual_margin_ns = 300 * second_ns;
// The wall clock is looked at as often as that: it may be set, and the machine may sleep.
constexpr int64_t longest_wait = 60;
constexpr int64_t first_retry = 5;
constexpr int64_t longest_retry = 300;
constexpr int64_t longest_look = 15;  // between looks at a file, which cost nothing
constexpr int64_t save_retry = 2;
// After that long a new token that is refused may be renewed.
constexpr int64_t too_soon = 30;
constexpr int64_t tries_a_second = 10;     // for the lock
constexpr int64_t patience_for_lock = 30;  // then it is told
constexpr int patience_for_vault = 4;      // tries, likewise

std::string url_of(const store::Sealed& credential) {
  return credential.facts["token_url"].string();
}

int64_t expiry_of(const store::Sealed& credential) {
  const auto time = parse_rfc3339(credential.facts["expires_at"].string());
  return time ? std::max<int64_t>(*time, 1) : 0;
}

std::string lock_file_of(const RefreshSettings& settings, const store::Sealed& credential) {
  // Names hold no '+'.
  return settings.directory + "/" + credential.profile + "+" + credential.name + ".lock";
}

store::Sealed copy_of(const store::Sealed& credential) {
  return {credential.name, credential.profile, credential.facts.clone(), credential.secret.clone(),
          credential.refresh_token.clone()};
}

}  // namespace

bool can_be_refreshed(const store::Sealed& credential) {
  return !credential.refresh_token.empty() &&
         check_endpoint(url_of(credential), "token_url").has_value();
}

Refresher::Refresher(Loop& loop, Fetcher& fetcher, store::Vault& vault, const Clock& clock,
                     RefreshSettings settings, store::Sealed credential, OnToken on_token,
                     OnTrouble on_trouble)
    : fetcher_(fetcher),
      vault_(vault),
      clock_(clock),
      settings_(std::move(settings)),
      credential_(std::move(credential)),
      on_token_(std::move(on_token)),
      on_trouble_(std::move(on_trouble)),
      timer_(loop, [this] {
        switch (state_) {
          case State::idle:
            return is_due() ? begin() : schedule();
          case State::locking:
            return try_lock();
          case State::saving:
            return save();
          case State::asking:
            return;  // the fetch has a limit of its own
        }
      }) {
  // All of an answer fits: growing would leave copies of a token behind.
  body_.reserve(max_answer);
  const int64_t now = clock_.wall_ns();
  expires_ns_ = expiry_of(credential_);
  margin_ns_ = std::clamp<int64_t>((expires_ns_ - now) / 2, 0, usual_margin_ns);
  schedule();
}

Refresher::~Refresher() {
  if (fetch_ != 0) fetcher_.cancel(fetch_);
  if (unsaved_) (void)vault_.put(credential_);
  wipe(body_);
}

bool Refresher::is_due() const {
  return was_refused_ || (expires_ns_ != 0 && clock_.wall_ns() >= expires_ns_ - margin_ns_);
}

Milliseconds Refresher::until_due() const {
  if (expires_ns_ == 0) return seconds(longest_wait);
  const int64_t left = (expires_ns_ - margin_ns_ - clock_.wall_ns()) / second_ns + 1;
  return seconds(std::clamp<int64_t>(left, 0, longest_wait));
}

void Refresher::schedule() {
  if (expires_ns_ != 0) timer_.start(until_due());
}

void Refresher::refused(std::string_view token) {
  if (state_ != State::idle || !credential_.secret.equals(token)) return;
  const int64_t age = clock_.monotonic_ns() - renewed_ns_;
  if (renewed_ns_ != 0 && age < too_soon * second_ns) return;
  // Once until there is an answer; then the timer of what has failed decides.
  if (!std::exchange(was_refused_, true)) timer_.start(Milliseconds(0));
}

void Refresher::begin() {
  state_ = State::locking;
  waited_ = 0;
  try_lock();
}

// Errc::busy while another has it.
Result<void> Refresher::lock() {
  if (!lock_) {
    const std::string path = lock_file_of(settings_, credential_);
    lock_ = Fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock_) return errno_error("cannot open %s", path.c_str());
  }
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK || errno == EINTR)
      return error(Errc::busy, "another run is renewing it");
    return errno_error("cannot lock %s", lock_file_of(settings_, credential_).c_str());
  }
  locked_ = true;
  return {};
}

void Refresher::unlock() {
  if (locked_) flock(lock_.get(), LOCK_UN);
  locked_ = false;
}

void Refresher::try_lock() {
  const auto got = lock();
  if (got) return read_again();
  if (got.error().code != Errc::busy) return fail(got.error());
  constexpr int64_t patient_tries = patience_for_lock * tries_a_second;
  if (++waited_ == patient_tries)
    tell(error(Errc::busy, "another run has kept the lock for %lld s",
               static_cast<long long>(patience_for_lock)));
  timer_.start(waited_ < patient_tries ? seconds(1) / tries_a_second : seconds(1));
}

// With the lock: is there a newer one by now?
void Refresher::read_again() {
  auto stored = vault_.get(credential_.name, credential_.profile);
  if (!stored) {
    // Nobody is to make a token that was revoked live on; a vault that cannot be read may hold a
    // newer one.
    if (stored.error().code != Errc::not_found) return fail(stored.error());
    was_refused_ = false;
    expires_ns_ = 0;
    tell(error(Errc::not_found, "it was revoked here, and is not renewed any more"));
    return rest();
  }
  if (!stored->secret.equals(credential_.secret.reveal())) adopt(std::move(*stored));
  if (!is_due()) return rest();
  if (follows()) return look_at_source();
  if (auto may = may_ask(); !may) return fail(may.error());
  ask();
}

bool Refresher::follows() const {
  return settings_.read_source && credential_.refresh_token.empty();
}

void Refresher::look_at_source() {
  auto fresh = settings_.read_source(credential_);
  if (fresh) return keep(std::move(*fresh));
  // While the one that there is will do, nobody has to hear that nothing is there yet, or that the
  // file is just being written.
  const bool in_time = !was_refused_ && clock_.wall_ns() < expires_ns_;
  if (!in_time || fresh.error().code == Errc::refused) tell(fresh.error());
  try_later();
}

Result<void> Refresher::may_ask() const {
  if (!can_be_refreshed(credential_))
    return error(Errc::refused, "there is nothing to renew it with");
  if (spent_.equals(credential_.refresh_token.reveal()))
    return error(Errc::refused, "the service has refused to renew it");
  return {};
}

void Refresher::adopt(store::Sealed stored) {
  const int64_t now = clock_.wall_ns();
  credential_ = std::move(stored);
  expires_ns_ = expiry_of(credential_);
  margin_ns_ = std::clamp<int64_t>((expires_ns_ - now) / 2, 0, usual_margin_ns);
  renewed_ns_ = clock_.monotonic_ns();
  was_refused_ = false;
  faults_ = 0;
  trouble_.clear();
  on_token_(credential_);
}

void Refresher::ask() {
  state_ = State::asking;
  wipe(body_);
  too_long_ = false;
  const bool json = credential_.facts["token_form"].string() == "json";
  FetchRequest request;
  request.method = "POST";
  request.url = url_of(credential_);
  request.headers = {
      {"Accept", "application/json"},
      {"Content-Type", json ? "application/json" : "application/x-www-form-urlencoded"},
      {"User-Agent", "moat"}};
  const std::string client_id = credential_.facts["client_id"].string();
  const bool basic = credential_.facts["client_auth"].string() == "basic";
  std::string client_secret = credential_.facts["client_secret"].string();
  if (basic && !client_secret.empty()) {
    request.secret_headers.emplace_back("Authorization", basic_header(client_id, client_secret));
    client_secret.clear();
  }
  const std::string resource = credential_.facts["resource"].string();
  if (json) {
    Json body = Json::object();
    body.set("grant_type", "refresh_token")
        .set("refresh_token", credential_.refresh_token.reveal())
        .set("client_id", client_id);
    if (!client_secret.empty()) body.set("client_secret", client_secret);
    if (!resource.empty()) body.set("resource", resource);
    request.body = body.text();
    body.wipe();
  } else {
    request.body = form_of({{"grant_type", "refresh_token"},
                            {"refresh_token", credential_.refresh_token.reveal()},
                            {"client_id", client_id},
                            {"client_secret", client_secret},
                            {"resource", resource}});
  }
  request.ca_file = settings_.ca_file;
  request.connect_to = settings_.connect_to;
  request.environment = settings_.environment;
  request.objection = settings_.objection;
  request.on_body = [this](std::string_view bytes) { collect(bytes); };
  fetch_ = fetcher_.fetch(std::move(request), [this](const Result<FetchResponse>& response) {
    fetch_ = 0;
    on_answer(response);
  });
}

void Refresher::collect(std::string_view bytes) {
  if (bytes.size() > max_answer - body_.size())
    too_long_ = true;
  else
    body_.append(bytes);
}

void Refresher::on_answer(const Result<FetchResponse>& response) {
  if (!response) return fail(response.error());
  if (too_long_) return fail(error(Errc::invalid, "its answer is longer than 64 KiB"));
  auto answer = read_token_answer(response->status, body_);
  body_.clear();
  if (answer) return take(std::move(*answer));
  if (answer.error().code == Errc::refused) spent_ = credential_.refresh_token.clone();
  fail(answer.error());
}

// The vault first: what must not be lost is the new refresh token.
void Refresher::take(TokenAnswer answer) {
  store::Sealed fresh = copy_of(credential_);
  fresh.secret = std::move(answer.access_token);
  if (!answer.refresh_token.empty()) fresh.refresh_token = std::move(answer.refresh_token);
  const int64_t now = clock_.wall_ns();
  fresh.facts.set("stored_at", rfc3339(now));
  fresh.facts.set("expires_at",
                  answer.lifetime == 0 ? "" : rfc3339(now + answer.lifetime * second_ns));
  if (!answer.scopes.empty()) fresh.facts.set("scopes", answer.scopes);
  fresh.facts.set("last_four", last_four(fresh.secret));
  keep(std::move(fresh));
}

void Refresher::keep(store::Sealed fresh) {
  const auto written = vault_.put(fresh);
  unsaved_ = !written;
  adopt(std::move(fresh));
  if (written) return rest();
  tell_of_vault(written.error());
  state_ = State::saving;
  timer_.start(seconds(save_retry));
}

void Refresher::save() {
  const auto written = vault_.put(credential_);
  unsaved_ = !written;
  if (written)
    trouble_.clear();
  else
    tell_of_vault(written.error());
  // It may have come to its end meanwhile.
  if (is_due() && follows()) return look_at_source();
  if (is_due() && may_ask()) return ask();
  if (!unsaved_) return rest();
  timer_.start(seconds(save_retry));
}

void Refresher::fail(const Error& why) {
  tell_of_vault(why);
  try_later();
}

void Refresher::try_later() {
  faults_ = std::min(faults_ + 1, 16);
  const int64_t longest = follows() ? longest_look : longest_retry;
  timer_.start(seconds(std::min(longest, first_retry << std::min(faults_ - 1, 8))));
  state_ = unsaved_ ? State::saving : State::idle;
  if (!unsaved_) unlock();
}

void Refresher::rest() {
  busy_ = 0;
  unlock();
  state_ = State::idle;
  schedule();
}

// That its key is being changed passes, as a rule before anybody has read about it.
void Refresher::tell_of_vault(const Error& trouble) {
  busy_ = trouble.code == Errc::busy ? busy_ + 1 : 0;
  if (busy_ == 0 || busy_ > patience_for_vault) tell(trouble);
}

void Refresher::tell(const Error& trouble) {
  if (trouble.message == trouble_) return;
  trouble_ = trouble.message;
  const std::string again =
      trouble.code == Errc::refused ? "; run 'moat grant " + credential_.name + "' again" : "";
  on_trouble_(error(trouble.code, "the credential of %s cannot be renewed or kept: %s%s",
                    settings_.title.c_str(), trouble.message.c_str(), again.c_str()));
}

}  // namespace moat
