#include "redirect_answer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/text.h"
#include "device_flow.h"

namespace moat {
namespace {

constexpr size_t max_query = 8 * 1024;
constexpr size_t max_parameters = 64;
constexpr size_t max_code = 2048;
constexpr size_t max_told = 200;

using Parameters = std::vector<std::pair<std::string, Secret>>;

// application/x-www-form-urlencoded, as RFC 6749 appendix B has it.
Result<Secret> decoded(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      wipe(plain);
      return error(Errc::invalid, "it has an escape that is none");
    }
    plain += static_cast<char>(high * 16 + low);
    i += 2;
  }
  Secret secret(plain);
  wipe(plain);
  return secret;
}

Result<Parameters> parameters_of(std::string_view query) {
  if (query.size() > max_query) return error(Errc::invalid, "it is longer than 8 KiB");
  Parameters parameters;
  for (const std::string_view item : split(query, '&')) {
    if (item.empty()) continue;
    const size_t equals = std::min(item.find('='), item.size());
    const auto name = decoded(item.substr(0, equals));
    if (!name) return name.error();
    for (const auto& [other, value] : parameters) {
      if (name->reveal() == other) return error(Errc::invalid, "it has a parameter twice");
    }
    if (parameters.size() == max_parameters) return error(Errc::invalid, "it has too much in it");
    auto value = decoded(item.substr(std::min(equals + 1, item.size())));
    if (!value) return value.error();
    parameters.emplace_back(std::string(name->reveal()), std::move(*value));
  }
  return parameters;
}

// What stands under a name, "" where nothing does.
std::string_view value_of(const Parameters& parameters, std::string_view name) {
  for (const auto& [other, value] : parameters)
    if (other == name) return value.reveal();
  return {};
}

std::string told(std::string_view text) {
  return printable(text.substr(0, max_told));
}

Result<void> check_issuer(std::string_view said, const RedirectExpected& expected) {
  if (expected.issuer.empty() || said == expected.issuer) return {};
  if (!said.empty())
    return error(Errc::refused, "the answer is of '%s', and not of '%s', which was asked",
                 told(said).c_str(), told(expected.issuer).c_str());
  if (!expected.tells_issuer) return {};
  return error(Errc::refused, "the answer does not say that it is of '%s', as all of its do",
               told(expected.issuer).c_str());
}

Error refusal(std::string_view code, std::string_view description) {
  if (code == "access_denied") return error(Errc::denied, "access was denied");
  std::string text = told(code);
  if (!description.empty()) text += " (" + told(description) + ")";
  return Error{Errc::refused, text};
}

Result<Secret> code_in(std::string_view text) {
  if (text.size() > max_code || !looks_like_token(text))
    return error(Errc::invalid, "it has no code that could be one");
  return Secret(text);
}

}  // namespace

Result<Secret> read_redirect(std::string_view query, const RedirectExpected& expected) {
  const auto parameters = parameters_of(query);
  if (!parameters) return parameters.error();
  // Who does not know this has not seen what was asked.
  const std::string_view state = value_of(*parameters, "state");
  if (expected.state.empty() || !equal_in_constant_time(state, expected.state))
    return error(Errc::invalid, "it answers something else");
  if (auto same = check_issuer(value_of(*parameters, "iss"), expected); !same) return same.error();
  const std::string_view failure = value_of(*parameters, "error");
  const std::string_view code = value_of(*parameters, "code");
  if (!failure.empty() && !code.empty())
    return error(Errc::invalid, "it has both a code and an error");
  if (!failure.empty()) return refusal(failure, value_of(*parameters, "error_description"));
  return code_in(code);
}

Result<Secret> read_pasted(std::string_view text, const RedirectExpected& expected) {
  text = trim(text);
  const bool address = text.find("://") != std::string_view::npos;
  if (address || text.starts_with("?") || text.starts_with("code=") ||
      text.find("&code=") != std::string_view::npos) {
    text = text.substr(0, text.find('#'));
    const size_t mark = text.find('?');
    if (address && mark == std::string_view::npos)
      return error(Errc::invalid, "the address has no code in it");
    return read_redirect(mark == std::string_view::npos ? text : text.substr(mark + 1), expected);
  }
  if (expected.tells_issuer)
    return error(Errc::invalid, "the whole address is needed, for it says whose code it is");
  const size_t mark = text.find('#');
  if (mark != std::string_view::npos &&
      !equal_in_constant_time(text.substr(mark + 1), expected.state))
    return error(Errc::invalid, "it answers something else");
  return code_in(text.substr(0, mark));
}

}  // namespace moat
