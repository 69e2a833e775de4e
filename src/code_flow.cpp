#include "code_flow.h"

#include <utility>

#include "core/crypto.h"
#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"
#include "form_text.h"

namespace moat {
namespace {

constexpr size_t max_answer = 64 * 1024;
constexpr size_t state_bytes = 24;
constexpr size_t verifier_bytes = 32;  // RFC 7636 section 4.1

Secret random_word(size_t bytes) {
  std::string raw = random_bytes(bytes);
  std::string text = base64url(raw);
  Secret word(text);
  wipe(raw);
  wipe(text);
  return word;
}

}  // namespace

CodeFlow::CodeFlow(Loop& loop, Fetcher& fetcher, CodeFlowSettings settings,
                   std::unique_ptr<RedirectListener> listener, Done done)
    : fetcher_(fetcher),
      settings_(std::move(settings)),
      listener_(std::move(listener)),
      done_(std::move(done)),
      verifier_(random_word(verifier_bytes)),
      expected_{base64url(random_bytes(state_bytes)), settings_.issuer, settings_.tells_issuer},
      failing_(loop, [this] { finish(failure_); }),
      expiry_(loop, [this] {
        finish(error(Errc::timeout,
                     "nobody has come back from %s in time: run the command again, and open the "
                     "address in a browser of this machine, or paste where it ends",
                     settings_.title.c_str()));
      }) {
  // All of an answer fits: growing would leave copies of a token behind.
  body_.reserve(max_answer);
  address_ = settings_.url + (settings_.url.find('?') == std::string::npos ? "?" : "&") +
             form_of({{"response_type", "code"},
                      {"client_id", settings_.client_id},
                      {"redirect_uri", listener_->uri()},
                      {"scope", settings_.scopes},
                      {"state", expected_.state},
                      {"code_challenge", base64url(view(sha256(verifier_.reveal())))},
                      {"code_challenge_method", "S256"},
                      {"resource", settings_.resource}});
  for (const auto& [name, value] : settings_.parameters)
    address_ += "&" + form_encode(name) + "=" + form_encode(value);
  listener_->begin([this](std::string_view query) { return on_query(query); });
  expiry_.start(settings_.patience);
}

CodeFlow::~CodeFlow() {
  if (fetch_ != 0) fetcher_.cancel(fetch_);
  wipe(body_);
}

RedirectListener::Verdict CodeFlow::on_query(std::string_view query) {
  using Verdict = RedirectListener::Verdict;
  if (answered_) return Verdict::none;
  if (auto taken = take(read_redirect(query, expected_)); !taken)
    return taken.error().code == Errc::invalid ? Verdict::none : Verdict::failed;
  return Verdict::granted;
}

Result<void> CodeFlow::paste(std::string_view text) {
  if (answered_) return {};
  auto taken = take(read_pasted(text, expected_));
  if (!taken && taken.error().code == Errc::invalid) return taken;
  return {};
}

// The first that is an answer counts, and nobody listens for another.
Result<void> CodeFlow::take(Result<Secret> code) {
  if (!code && code.error().code == Errc::invalid) return code.error();
  answered_ = true;
  listener_->stop();
  expiry_.stop();
  if (code) {
    ask_for_token(*code);
    return {};
  }
  const bool denied = code.error().code == Errc::denied;
  finish_soon(denied ? error(Errc::denied, "access was denied at %s; nothing was stored",
                             settings_.title.c_str())
                     : error(Errc::refused, "%s refused the login: %s", settings_.title.c_str(),
                             code.error().message.c_str()));
  return code.error();
}

std::string CodeFlow::token_form(const Secret& code) const {
  return form_of({{"grant_type", "authorization_code"},
                  {"code", code.reveal()},
                  {"redirect_uri", listener_->uri()},
                  {"client_id", settings_.client_id},
                  {"client_secret", settings_.basic ? "" : settings_.client_secret},
                  {"code_verifier", verifier_.reveal()},
                  {"resource", settings_.resource}});
}

// Who wants JSON, which no RFC knows, wants the state once more as well.
std::string CodeFlow::token_json(const Secret& code) const {
  Json body = Json::object();
  body.set("grant_type", "authorization_code")
      .set("code", code.reveal())
      .set("state", expected_.state)
      .set("redirect_uri", listener_->uri())
      .set("client_id", settings_.client_id)
      .set("code_verifier", verifier_.reveal());
  if (!settings_.client_secret.empty() && !settings_.basic)
    body.set("client_secret", settings_.client_secret);
  if (!settings_.resource.empty()) body.set("resource", settings_.resource);
  std::string text = body.text();
  body.wipe();
  return text;
}

void CodeFlow::ask_for_token(const Secret& code) {
  FetchRequest request;
  request.method = "POST";
  request.url = settings_.token_url;
  request.headers = {
      {"Accept", "application/json"},
      {"Content-Type", settings_.json ? "application/json" : "application/x-www-form-urlencoded"},
      {"User-Agent", "moat"}};
  if (settings_.basic && !settings_.client_secret.empty())
    request.secret_headers.emplace_back("Authorization",
                                        basic_header(settings_.client_id, settings_.client_secret));
  request.body = settings_.json ? token_json(code) : token_form(code);
  request.ca_file = settings_.ca_file;
  request.connect_to = settings_.connect_to;
  request.objection = settings_.objection;
  request.on_body = [this](std::string_view bytes) { collect(bytes); };
  fetch_ = fetcher_.fetch(std::move(request), [this](const Result<FetchResponse>& response) {
    fetch_ = 0;
    on_answer(response);
  });
}

void CodeFlow::collect(std::string_view bytes) {
  if (bytes.size() > max_answer - body_.size())
    too_long_ = true;
  else
    body_.append(bytes);
}

void CodeFlow::on_answer(const Result<FetchResponse>& response) {
  const char* title = settings_.title.c_str();
  if (!response)
    return finish(error(response.error().code, "cannot ask %s for the token: %s",
                        host_of_url(settings_.token_url).c_str(),
                        response.error().message.c_str()));
  if (too_long_)
    return finish(error(Errc::invalid,
                        "%s's answer makes no sense: it is longer than 64 KiB; check the URL of "
                        "the tokens",
                        title));
  auto answer = read_token_answer(response->status, body_);
  if (answer) return finish(std::move(answer));
  const Error& why = answer.error();
  if (why.code == Errc::invalid)
    return finish(error(Errc::invalid,
                        "%s's answer makes no sense: %s; check the URL of the tokens", title,
                        why.message.c_str()));
  finish(error(Errc::refused, "%s refused the login: %s; nothing was stored", title,
               why.message.c_str()));
}

void CodeFlow::finish_soon(Error why) {
  failure_ = std::move(why);
  failing_.start(Milliseconds(0));
}

void CodeFlow::finish(Result<TokenAnswer> result) {
  expiry_.stop();
  failing_.stop();
  wipe(body_);
  const Done done = std::move(done_);
  done(std::move(result));  // may have destroyed us
}

}  // namespace moat
