#include "redaction.h"

#include <algorithm>
#include <iterator>

#include "core/text.h"

namespace moat {
namespace {

// On top of those that providers use (credential_headers()). What begins with '-' is how a name
// ends.
constexpr std::string_view private_headers[] = {
    "-access-key",
    "-api-key",
    "-apikey",
    "-auth-key",
    "-functions-key",
    "-password",
    "-secret",
    "-secret-key",
    "-subscription-key",
    "-token",
    "api-key",
    "apikey",
    "authorization",
    "cf-access-jwt-assertion",
    "cookie",
    "cookie2",
    "dd-application-key",
    "password",
    "proxy-authorization",
    "secret",
    "set-cookie",
    "set-cookie2",
    "token",
    "x-amz-server-side-encryption-customer-key",
    "x-authorization",
    "x-forwarded-authorization",
    "x-original-authorization",
    "x-rapidapi-key",
    "x-registry-auth",
    "x-registry-config",
    "x-session-id",
    "x-vault-token",
};

// Sorted; lower case, with '_' for '-'.
constexpr std::string_view private_parameters[] = {
    "access_key",
    "access_token",
    "api_key",
    "api_secret",
    "api_token",
    "apikey",
    "app_secret",
    "apptoken",
    "assertion",
    "auth",
    "auth_key",
    "auth_token",
    "authorization",
    "authtoken",
    "bearer_token",
    "client_assertion",
    "client_secret",
    "code_verifier",
    "consumer_secret",
    "device_code",
    "id_token",
    "id_token_hint",
    "job_token",
    "jwt",
    "key",
    "oauth_signature",
    "oauth_token",
    "oauth_token_secret",
    "passphrase",
    "passwd",
    "password",
    "personal_access_token",
    "private_key",
    "private_token",
    "pwd",
    "refresh_token",
    "secret",
    "secret_key",
    "session_token",
    "sessionid",
    "sig",
    "signature",
    "subject_token",
    "subscription_key",
    "token",
    "x_amz_security_token",
    "x_amz_signature",
    "x_api_key",
    "x_goog_signature",
};
static_assert(std::is_sorted(std::begin(private_parameters), std::end(private_parameters)));
constexpr size_t longest_parameter = 32;

char lower_char(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// Of "a=b&c=d…", from `at` on. A value ends where a parameter, a URL or a list does.
std::optional<std::string> redact_parameters(std::string_view text, size_t at) {
  constexpr std::string_view between = "&;?# <>\"',\t\r\n";
  std::string out;
  size_t copied = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find_first_of(between, at), text.size());
    const size_t equals = text.substr(at, end - at).find('=');
    if (equals != std::string_view::npos && at + equals + 1 < end &&
        is_private_parameter(text.substr(at, equals))) {
      out.append(text.substr(copied, at + equals + 1 - copied)).append(redacted);
      copied = end;
    }
    at = end + 1;
  }
  if (copied == 0) return {};
  return out.append(text.substr(copied));
}

}  // namespace

PrivateHeaders::PrivateHeaders() {
  for (const std::string_view name : private_headers)
    if (name.front() != '-') add(name);
}

void PrivateHeaders::add(std::string_view name) {
  if (!has(name)) names_[std::min(name.size(), lengths - 1)].push_back(lower(name));
}

bool PrivateHeaders::has(std::string_view name) const {
  if (name.empty()) return false;
  const auto& same_length = names_[std::min(name.size(), lengths - 1)];
  const bool known =
      std::any_of(same_length.begin(), same_length.end(),
                  [name](const std::string& other) { return equals_ignoring_case(name, other); });
  const char last = lower_char(name.back());
  return known || std::any_of(std::begin(private_headers), std::end(private_headers),
                              [name, last](std::string_view end) {
                                return end.front() == '-' && end.back() == last &&
                                       ends_with_ignoring_case(name, end);
                              });
}

bool is_private_parameter(std::string_view name) {
  char plain[longest_parameter];
  size_t size = 0;
  while (!name.empty()) {
    if (size == sizeof plain) return false;
    char c = name.front();
    size_t taken = 1;
    if (c == '%' && name.size() >= 3 && hex_digit(name[1]) >= 0 && hex_digit(name[2]) >= 0) {
      c = static_cast<char>(hex_digit(name[1]) << 4 | hex_digit(name[2]));
      taken = 3;
    }
    name.remove_prefix(taken);
    plain[size++] = c == '-' ? '_' : lower_char(c);
  }
  return std::binary_search(std::begin(private_parameters), std::end(private_parameters),
                            std::string_view(plain, size));
}

std::optional<std::string> redact_urls(std::string_view text) {
  const size_t begin = text.find_first_of("?#");
  if (begin == std::string_view::npos) return {};
  return redact_parameters(text, begin + 1);
}

std::optional<std::string> redact_form(std::string_view text) {
  return redact_parameters(text, 0);
}

}  // namespace moat
