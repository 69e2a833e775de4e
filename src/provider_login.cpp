// The keys of a provider's file that are about logins: how one is had, renewed, shown to programs
// in the sandbox, and taken back.
#include <algorithm>

#include "config_reader.h"
#include "core/json.h"
#include "core/text.h"
#include "device_flow.h"
#include "provider_reader.h"
#include "proxy/policy.h"

namespace moat {
namespace {

constexpr size_t longest_claims = 1024;

Result<void> refresh_word(ProviderReader& reader, const Yaml& value, const char* key,
                          std::string ProviderRefresh::*member) {
  auto word = reader.word(value, key);
  if (!word) return word.error();
  if (!is_printed(*word)) return reader.at(value, std::string(key) + " must be printable ASCII");
  (*reader.site->refresh).*member = std::move(*word);
  return {};
}

Result<void> read_claims(ProviderReader& reader, const Yaml& value) {
  auto claims = reader.word(value, "claims");
  if (!claims) return claims.error();
  if (claims->size() > longest_claims)
    return reader.at(value, format("claims is longer than %zu characters", longest_claims));
  const auto json = Json::parse(*claims);
  if (!json || !json->view().is_object() || !is_printed(*claims))
    return reader.at(value, "claims must be an object of JSON, in printable ASCII on one line");
  reader.site->claims = std::move(*claims);
  return {};
}

Result<void> read_instead_of(ProviderReader& reader, const Yaml& value) {
  auto names = reader.words(value, "instead_of");
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (auto checked = check_grant_name(name); !checked)
      return reader.at(value, "'" + shown(name) + "' is not the name of a provider");
  }
  reader.provider.instead_of = std::move(*names);
  return {};
}

Result<void> read_refresh(ProviderReader& reader, const Yaml& value) {
  ProviderRefresh& refresh = reader.site->refresh.emplace();
  if (auto read = reader.read_members(value, "refresh.", "refresh"); !read) return read;
  if (refresh.token_url.empty() || refresh.client_id.empty())
    return reader.at(value, "refresh needs token_url and client_id");
  return {};
}

Result<void> read_refresh_client_id(ProviderReader& reader, const Yaml& value) {
  return refresh_word(reader, value, "client_id", &ProviderRefresh::client_id);
}

Result<void> read_refresh_client_secret(ProviderReader& reader, const Yaml& value) {
  return refresh_word(reader, value, "client_secret", &ProviderRefresh::client_secret);
}

Result<void> read_refresh_rotates(ProviderReader& reader, const Yaml& value) {
  auto rotates = yes_or_no(reader, value, "rotates");
  if (!rotates) return rotates.error();
  reader.site->refresh->rotates = *rotates;
  return {};
}

Result<void> read_refresh_token_form(ProviderReader& reader, const Yaml& value) {
  if (value.scalar != "json" && value.scalar != "form")
    return reader.at(value, "token_form is json or form");
  reader.site->refresh->token_form = value.scalar == "json" ? "json" : "";
  return {};
}

Result<void> read_refresh_token_url(ProviderReader& reader, const Yaml& value) {
  if (!check_endpoint(sample(value.scalar), "") || !value.scalar.starts_with("https://"))
    return reader.at(value, "token_url must be https://HOST/PATH");
  return refresh_word(reader, value, "token_url", &ProviderRefresh::token_url);
}

Result<void> read_device(ProviderReader& reader, const Yaml& value) {
  ProviderDevice& device = reader.provider.device.emplace();
  if (auto read = reader.read_members(value, "device.", "device"); !read) return read;
  for (const std::string* needed : {&device.url, &device.token_url, &device.client_id_variable,
                                    &device.client_id_advice, &device.verification_host}) {
    if (needed->empty())
      return reader.at(value,
                       "device needs url, token_url, client_id_variable, client_id_advice and "
                       "verification_host");
  }
  return {};
}

Result<void> read_code(ProviderReader& reader, const Yaml& value) {
  ProviderCode& code = reader.provider.code.emplace();
  if (auto read = reader.read_members(value, "code.", "code"); !read) return read;
  if (code.url.empty() || code.token_url.empty() ||
      (code.client_id.empty() && code.client_id_variable.empty()))
    return reader.at(value, "code needs url, token_url, and client_id or client_id_variable");
  return {};
}

template <std::string ProviderCode::*member>
Result<void> read_code_word(ProviderReader& reader, const Yaml& value) {
  auto word = reader.word(value, "it");
  if (!word) return word.error();
  if (!is_printed(*word)) return reader.at(value, "it must be printable ASCII");
  (*reader.provider.code).*member = std::move(*word);
  return {};
}

template <std::string ProviderCode::*member>
Result<void> read_code_url(ProviderReader& reader, const Yaml& value) {
  if (!check_endpoint(sample(value.scalar), "") || !value.scalar.starts_with("https://") ||
      value.scalar.find('#') != std::string::npos)
    return reader.at(value, "it must be https://HOST/PATH");
  return read_code_word<member>(reader, value);
}

Result<void> read_code_variable(ProviderReader& reader, const Yaml& value) {
  if (auto checked = check_variable_name(value.scalar); !checked)
    return reader.at(value, checked.error().message);
  reader.provider.code->client_id_variable = value.scalar;
  return {};
}

Result<void> read_redirect_host(ProviderReader& reader, const Yaml& value) {
  if (value.scalar != "127.0.0.1" && value.scalar != "localhost")
    return reader.at(value, "redirect_host is 127.0.0.1 or localhost");
  reader.provider.code->redirect_host = value.scalar;
  return {};
}

Result<void> read_redirect_path(ProviderReader& reader, const Yaml& value) {
  const std::string& path = value.scalar;
  if (!path.starts_with('/') || !is_printed(path) || path.find_first_of("?#% ") != path.npos)
    return reader.at(value, "redirect_path must be a path such as /callback");
  reader.provider.code->redirect_path = path;
  return {};
}

Result<void> read_redirect_port(ProviderReader& reader, const Yaml& value) {
  const auto port = parse_number(value.scalar, 1, 65535);
  if (!port) return reader.at(value, "redirect_port must be a port");
  reader.provider.code->redirect_port = static_cast<uint16_t>(*port);
  return {};
}

Result<void> read_token_form(ProviderReader& reader, const Yaml& value) {
  if (value.scalar != "form" && value.scalar != "json")
    return reader.at(value, "token_form is form or json");
  reader.provider.code->json = value.scalar == "json";
  return {};
}

Result<void> read_code_parameters(ProviderReader& reader, const Yaml& value) {
  // What the login itself says must not be said twice.
  constexpr std::string_view ours[] = {
      "response_type", "client_id",      "redirect_uri",          "scope",
      "state",         "code_challenge", "code_challenge_method", "resource"};
  auto parameters = reader.map(value, "parameters");
  if (!parameters) return parameters.error();
  for (const auto& [name, text] : *parameters) {
    if (!is_header_name(name) || !is_printed(text) ||
        std::find(std::begin(ours), std::end(ours), name) != std::end(ours))
      return reader.at(value, "parameters: '" + shown(name) + "' is not one that may be added");
  }
  reader.provider.code->parameters = std::move(*parameters);
  return {};
}

Result<void> read_revoke_url(ProviderReader& reader, const Yaml& value) {
  if (!check_endpoint(sample(value.scalar), "") || !value.scalar.starts_with("https://"))
    return reader.at(value, "revoke_url must be https://HOST/PATH");
  reader.provider.revoke_url = value.scalar;
  return {};
}

template <std::string ProviderDevice::*member>
Result<void> read_device_word(ProviderReader& reader, const Yaml& value) {
  auto word = reader.word(value, "it");
  if (!word) return word.error();
  if (!is_printed(*word)) return reader.at(value, "it must be printable ASCII");
  (*reader.provider.device).*member = std::move(*word);
  return {};
}

template <std::string ProviderDevice::*member>
Result<void> read_device_url(ProviderReader& reader, const Yaml& value) {
  if (!check_endpoint(sample(value.scalar), "") || !value.scalar.starts_with("https://"))
    return reader.at(value, "it must be https://HOST/PATH");
  return read_device_word<member>(reader, value);
}

}  // namespace

std::span<const ProviderKey> provider_login_keys() {
  static constexpr ProviderKey keys[] = {
      {"claims", read_claims},
      {"code", read_code},
      {"code.client_id", read_code_word<&ProviderCode::client_id>},
      {"code.client_id_variable", read_code_variable},
      {"code.client_secret", read_code_word<&ProviderCode::client_secret>},
      {"code.parameters", read_code_parameters},
      {"code.redirect_host", read_redirect_host},
      {"code.redirect_path", read_redirect_path},
      {"code.redirect_port", read_redirect_port},
      {"code.scopes", read_code_word<&ProviderCode::scopes>},
      {"code.token_form", read_token_form},
      {"code.token_url", read_code_url<&ProviderCode::token_url>},
      {"code.url", read_code_url<&ProviderCode::url>},
      {"device", read_device},
      {"device.client_id", read_device_word<&ProviderDevice::client_id>},
      {"device.client_id_advice", read_device_word<&ProviderDevice::client_id_advice>},
      {"device.client_id_variable", read_device_word<&ProviderDevice::client_id_variable>},
      {"device.scopes", read_device_word<&ProviderDevice::scopes>},
      {"device.token_url", read_device_url<&ProviderDevice::token_url>},
      {"device.url", read_device_url<&ProviderDevice::url>},
      {"device.verification_host", read_device_word<&ProviderDevice::verification_host>},
      {"instead_of", read_instead_of},
      {"refresh", read_refresh},
      {"refresh.client_id", read_refresh_client_id},
      {"refresh.client_secret", read_refresh_client_secret},
      {"refresh.rotates", read_refresh_rotates},
      {"refresh.token_form", read_refresh_token_form},
      {"refresh.token_url", read_refresh_token_url},
      {"revoke_url", read_revoke_url},
  };
  return keys;
}

}  // namespace moat
