#include "device_flow.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "core/json.h"
#include "core/text.h"
#include "form_text.h"

namespace moat {

namespace {

constexpr size_t max_answer = 64 * 1024;  // real ones have a few hundred bytes
constexpr size_t max_url = 2048;
constexpr size_t max_user_code = 32;
constexpr size_t max_device_code = 2048;
constexpr size_t max_token = 8 * 1024;   // what a header of ours may hold with ease
constexpr int64_t default_interval = 5;  // RFC 8628 section 3.2
constexpr int64_t slow_down_step = 5;    // section 3.5
constexpr int64_t max_interval = 120;
constexpr int64_t max_lifetime = int64_t{10} * 365 * 24 * 3600;  // of a token; longer is for ever
constexpr int64_t max_expiry = 3600;  // nobody types a code for longer; a longer one is cut to it
constexpr int64_t max_back_off = 60;

bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

bool is_user_code(std::string_view text) {
  return !text.empty() && text.size() <= max_user_code &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return isalnum(c) != 0 || c == '-'; });
}

// What a server says about itself goes to the person's terminal: short, and only text.
std::string told(const std::string& text) {
  return printable(text.substr(0, 200));
}

std::string told(const std::string& code, const std::string& description) {
  return description.empty() ? told(code) : told(code) + " (" + told(description) + ")";
}

bool is_this_machine(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.substr(0, 4) == "127." && host.find_first_not_of("0123456789.") == host.npos);
}

// A URL of ours or of the server's: scheme, host, and nothing that hides where it leads.
bool is_plain_url(std::string_view url) {
  if (url.size() > max_url || !is_visible(url)) return false;
  const std::string host = host_of_url(url);
  if (host.empty()) return false;
  const size_t start = url.find("://") + 3;
  const std::string_view authority = url.substr(start, url.find_first_of("/?#", start) - start);
  if (authority.find('@') != authority.npos || authority.find('\\') != authority.npos) return false;
  const std::string_view scheme = url.substr(0, url.find("://"));
  return scheme == "https" || (scheme == "http" && is_this_machine(host));
}

}  // namespace

std::string host_of_url(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == url.npos) return {};
  std::string_view rest = url.substr(scheme + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (!rest.empty() && rest.front() == '[') return lower(rest.substr(1, rest.find(']') - 1));
  return lower(rest.substr(0, rest.find(':')));
}

Result<void> check_endpoint(std::string_view url, const std::string& option) {
  if (is_plain_url(url)) return {};
  return error(Errc::invalid,
               "%s: '%s' is not an https:// URL (http:// is taken for 127.0.0.1 only)",
               option.c_str(), told(std::string(url)).c_str());
}

bool looks_like_token(std::string_view text) {
  return !text.empty() && text.size() <= max_token && is_visible(text);
}

DeviceFlow::DeviceFlow(Loop& loop, Fetcher& fetcher, DeviceFlowSettings settings,
                       OnPrompt on_prompt, Done done)
    : fetcher_(fetcher),
      settings_(std::move(settings)),
      on_prompt_(std::move(on_prompt)),
      done_(std::move(done)),
      poll_(loop,
            [this] {
              post(settings_.token_url,
                   "client_id=" + form_encode(settings_.client_id) +
                       "&device_code=" + form_encode(device_code_) +
                       "&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code",
                   &DeviceFlow::on_token_answer);
            }),
      expiry_(
          loop,
          [this] {
            finish(error(Errc::timeout,
                         "the code has expired before it was entered at %s; run the command again",
                         settings_.title.c_str()));
          }),
      too_long_(loop, [this] { finish(no_sense("it is longer than 64 KiB")); }) {
  // All of an answer fits: growing would leave copies of a token behind.
  body_.reserve(max_answer);
  std::string form = "client_id=" + form_encode(settings_.client_id);
  if (!settings_.scopes.empty()) form += "&scope=" + form_encode(settings_.scopes);
  post(settings_.device_url, std::move(form), &DeviceFlow::on_device_answer);
}

DeviceFlow::~DeviceFlow() {
  if (fetch_ != 0) fetcher_.cancel(fetch_);
  wipe(body_);
  wipe(device_code_);
}

void DeviceFlow::post(const std::string& url, std::string form, OnAnswer on_answer) {
  wipe(body_);
  FetchRequest request;
  request.method = "POST";
  request.url = url;
  request.headers = {{"Accept", "application/json"},
                     {"Content-Type", "application/x-www-form-urlencoded"},
                     {"User-Agent", "moat"}};
  request.body = std::move(form);
  request.ca_file = settings_.ca_file;
  request.connect_to = settings_.connect_to;
  request.on_body = [this](std::string_view bytes) { collect(bytes); };
  fetch_ = fetcher_.fetch(std::move(request), [this, on_answer](Result<FetchResponse> response) {
    fetch_ = 0;
    (this->*on_answer)(std::move(response));
  });
}

void DeviceFlow::collect(std::string_view bytes) {
  if (bytes.size() <= max_answer - body_.size()) {
    body_.append(bytes);
  } else if (!too_long_.running()) {
    too_long_.start(Milliseconds(0));
  }
}

Error DeviceFlow::no_sense(const char* what) const {
  return error(Errc::invalid, "%s's answer makes no sense: %s; check the device flow's URLs",
               settings_.title.c_str(), what);
}

void DeviceFlow::on_device_answer(Result<FetchResponse> response) {
  const std::string host = host_of_url(settings_.device_url);
  if (!response)
    return finish(error(response.error().code,
                        "cannot reach %s to ask for a code: %s; give a token instead with "
                        "--token-stdin",
                        host.c_str(), response.error().message.c_str()));
  if (too_long_.running()) return;  // and that ends it
  const auto json = Json::parse(body_);
  const bool is_object = json && json->view().is_object();
  if (is_object && (*json)["error"].is_string())
    return finish(
        error(Errc::refused, "%s gives no code: %s; check the client id", settings_.title.c_str(),
              told((*json)["error"].string(), (*json)["error_description"].string()).c_str()));
  if (response->status != 200)
    return finish(error(Errc::refused, "%s gives no code: it answered %d; check the client id",
                        host.c_str(), response->status));
  if (!is_object) return finish(no_sense("it is not a JSON object"));

  DevicePrompt prompt{(*json)["verification_uri"].string(), (*json)["user_code"].string()};
  device_code_ = (*json)["device_code"].string();
  if (device_code_.empty() || device_code_.size() > max_device_code || !is_visible(device_code_))
    return finish(no_sense("it has no device_code that could be one"));
  if (!is_user_code(prompt.code))
    return finish(no_sense("it has no user_code that a person could type"));
  if (!is_plain_url(prompt.url) || (!settings_.verification_host.empty() &&
                                    host_of_url(prompt.url) != settings_.verification_host))
    return finish(no_sense("it sends people to a page that is not the service's"));
  const int64_t expires = (*json)["expires_in"].integer(-1);
  if (expires < 1) return finish(no_sense("it does not say when the code expires"));
  interval_ = (*json)["interval"].exists() ? (*json)["interval"].integer(-1) : default_interval;
  if (interval_ < 0 || interval_ > max_interval)
    return finish(no_sense("it gives no interval that could be kept"));
  interval_ = std::max<int64_t>(interval_, 1);

  expiry_.start(settings_.second * std::min(expires, max_expiry));
  poll_in(settings_.second * interval_);
  on_prompt_(prompt);
}

void DeviceFlow::poll_in(Milliseconds delay) {
  poll_.start(delay);
}

// Section 3.5: a client that cannot get through asks less and less often.
void DeviceFlow::poll_again_after_fault() {
  faults_ = std::min(faults_ + 1, 6);
  poll_in(settings_.second * std::max(interval_, std::min(interval_ << faults_, max_back_off)));
}

void DeviceFlow::on_token_answer(Result<FetchResponse> response) {
  if (!response) {
    // A certificate that is wrong now will be wrong in five seconds.
    if (response.error().code == Errc::tls) return finish(response.error());
    return poll_again_after_fault();
  }
  if (too_long_.running()) return;  // and that ends it
  if (response->status >= 500 || response->status == 429) return poll_again_after_fault();
  faults_ = 0;
  auto json = Json::parse(body_);
  wipe(body_);
  if (!json || !json->view().is_object()) return finish(no_sense("it is not a JSON object"));
  // With 400 by RFC 6749 section 5.2; GitHub says it with 200.
  if ((*json)["error"].exists())
    return on_token_error((*json)["error"].string(), (*json)["error_description"].string(),
                          (*json)["interval"].integer(0));
  if (response->status != 200)
    return finish(no_sense("it is neither a token nor an error of RFC 8628"));
  const auto take = [&json](const char* name) {
    std::string text = (*json)[name].string();
    Secret secret(looks_like_token(text) ? text : std::string_view());
    wipe(text);
    return secret;
  };
  TokenAnswer answer;
  answer.access_token = take("access_token");
  answer.refresh_token = take("refresh_token");
  answer.lifetime = std::clamp<int64_t>((*json)["expires_in"].integer(0), 0, max_lifetime);
  const std::string type = (*json)["token_type"].string();
  json->wipe();
  if (answer.access_token.empty())
    return finish(no_sense("it has no access_token that could be one"));
  if (!equals_ignoring_case(type, "bearer"))
    return finish(no_sense("its token_type is not bearer"));
  finish(std::move(answer));
}

void DeviceFlow::on_token_error(const std::string& code, const std::string& description,
                                int64_t asked_interval) {
  if (code == "authorization_pending") return poll_in(settings_.second * interval_);
  if (code == "slow_down") {
    interval_ += slow_down_step;
    if (asked_interval <= max_interval) interval_ = std::max(interval_, asked_interval);
    return poll_in(settings_.second * interval_);
  }
  if (code == "access_denied")
    return finish(error(Errc::denied, "access was denied at %s; nothing was stored",
                        settings_.title.c_str()));
  if (code == "expired_token")
    return finish(error(Errc::timeout,
                        "the code has expired before it was entered at %s; run the command again",
                        settings_.title.c_str()));
  finish(error(Errc::refused, "%s refused the login: %s", settings_.title.c_str(),
               told(code, description).c_str()));
}

void DeviceFlow::finish(Result<TokenAnswer> result) {
  poll_.stop();
  expiry_.stop();
  too_long_.stop();
  if (fetch_ != 0) fetcher_.cancel(std::exchange(fetch_, 0));
  wipe(body_);
  const Done done = std::move(done_);
  done(std::move(result));  // may have destroyed us
}

}  // namespace moat
