#include "exchange_filter.h"

#include <algorithm>
#include <optional>

#include "core/text.h"

namespace moat {
namespace {

// Three digits, or 0 where no answer was sent.
std::optional<uint64_t> status_number(std::string_view text) {
  if (text == "0") return 0;
  return text.size() == 3 ? parse_number(text, 100, 999) : std::nullopt;
}

// "404", "4xx", "200-299".
Result<std::pair<int64_t, int64_t>> parse_status(const std::string& text) {
  const Error bad = error(Errc::invalid, "--status wants 404, 4xx or 200-299, not '%s'",
                          printable(text.substr(0, 64)).c_str());
  if (text.size() == 3 && lower(text).ends_with("xx")) {
    const auto hundreds = parse_number(text.substr(0, 1), 1, 9);
    if (!hundreds) return bad;
    const auto from = static_cast<int64_t>(*hundreds) * 100;
    return std::pair(from, from + 99);
  }
  const size_t dash = text.find('-');
  const auto from = status_number(std::string_view(text).substr(0, dash));
  const auto to =
      dash == std::string::npos ? from : status_number(std::string_view(text).substr(dash + 1));
  if (!from || !to || *to < *from) return bad;
  return std::pair(static_cast<int64_t>(*from), static_cast<int64_t>(*to));
}

Result<proxy::HostRule> parse_host(const std::string& text) {
  auto rule = proxy::parse_host_rule(text);
  if (!rule) return rule.error().in("--host");
  return rule;
}

Result<std::string> parse_request(const std::string& text) {
  const std::string id = lower(text);
  if (!id.empty() && id.size() <= 16 &&
      id.find_first_not_of("0123456789abcdef") == std::string::npos)
    return id;
  return error(Errc::invalid, "--request wants the id of a request, or how it begins, not '%s'",
               printable(text.substr(0, 64)).c_str());
}

Result<std::string> parse_method(const std::string& text) {
  std::string method = text;
  std::transform(method.begin(), method.end(), method.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  if (method.empty()) return error(Errc::invalid, "--method wants a method, such as POST");
  return method;
}

Result<std::string> parse_grant(const std::string& text) {
  if (text.empty()) return error(Errc::invalid, "--grant wants the name of a credential");
  return text;
}

// All values of an option, each parsed.
template <class T>
Result<void> take(const Arguments& arguments, const char* option,
                  Result<T> (*parse)(const std::string&), std::vector<T>& to) {
  for (const std::string& text : arguments.values(option)) {
    auto value = parse(text);
    if (!value) return value.error();
    to.push_back(std::move(*value));
  }
  return {};
}

// Does one of them fit, or is none asked for?
template <class T, class Fits>
bool any(const std::vector<T>& wanted, const Fits& fits) {
  return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), fits);
}

bool lists(const Json::View& list, const std::string& word) {
  const auto elements = list.elements();
  return std::any_of(elements.begin(), elements.end(),
                     [&word](const Json::View& element) { return element.string() == word; });
}

}  // namespace

Result<ExchangeFilter> ExchangeFilter::from(const Arguments& arguments) {
  ExchangeFilter filter;
  filter.refused_ = arguments.has("refused");
  if (auto ok = take(arguments, "host", parse_host, filter.hosts_); !ok) return ok.error();
  if (auto ok = take(arguments, "method", parse_method, filter.methods_); !ok) return ok.error();
  if (auto ok = take(arguments, "status", parse_status, filter.statuses_); !ok) return ok.error();
  if (auto ok = take(arguments, "grant", parse_grant, filter.grants_); !ok) return ok.error();
  if (auto ok = take(arguments, "request", parse_request, filter.requests_); !ok) return ok.error();
  return filter;
}

bool ExchangeFilter::empty() const {
  return !refused_ && hosts_.empty() && methods_.empty() && statuses_.empty() && grants_.empty() &&
         requests_.empty();
}

bool ExchangeFilter::has(const Json::View& exchange) const {
  if (refused_ && !exchange["refused"].boolean()) return false;
  const int64_t status = exchange["status"].integer();
  return any(hosts_,
             [host = lower(exchange["host"].string()),
              port = exchange["port"].integer()](const proxy::HostRule& rule) {
               return proxy::host_matches(rule.host, host) && rule.port.value_or(port) == port;
             }) &&
         any(methods_, [method = exchange["method"].string()](
                           const std::string& wanted) { return wanted == method; }) &&
         any(statuses_,
             [status](const auto& range) {
               return status >= range.first && status <= range.second;
             }) &&
         any(grants_, [injected = exchange["injected"]](
                          const std::string& grant) { return lists(injected, grant); }) &&
         any(requests_, [id = exchange["request_id"].string()](const std::string& wanted) {
           return id.starts_with(wanted);
         });
}

}  // namespace moat
