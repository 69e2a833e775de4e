#include "proxy/minting.h"

#include <algorithm>
#include <utility>

#include "core/crypto.h"
#include "core/json.h"
#include "core/text.h"
#include "proxy/injected_target.h"
#include "proxy/policy.h"

namespace moat::proxy {
namespace {

constexpr size_t mark_bytes = 12;
constexpr size_t own_bytes = 8;
constexpr size_t mark_size = 5 + 2 * mark_bytes;  // "moat_" and hexadecimal digits
constexpr size_t placeholder_size = mark_size + 2 * own_bytes;
constexpr int64_t second = 1'000'000'000;
constexpr int64_t longest_seconds = 1'000'000'000;  // what is more is a time, and not a duration
constexpr size_t most_in_answer = 16;
constexpr size_t longest_token = 16 * 1024;

bool any_host(const std::vector<std::string>& patterns, std::string_view host) {
  return std::any_of(patterns.begin(), patterns.end(), [host](const std::string& pattern) {
    return minting_host_matches(pattern, host);
  });
}

// What can stand in a header.
bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= longest_token &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// The first value that `path` leads to, or one that does not exist.
Json::View first_at(Json::View value, const JsonPath& path) {
  for (const std::string& name : path) {
    while (value.is_array()) value = value[size_t{0}];
    value = value[name];
  }
  return value;
}

int64_t expiry(const Json::View& root, const JsonPath& path, int64_t now_ns) {
  if (path.empty()) return 0;
  const Json::View value = first_at(root, path);
  if (value.is_string()) {
    if (const auto at = parse_rfc3339(value.string())) return *at;
  }
  int64_t seconds = value.integer();
  if (seconds == 0 && value.is_number()) {  // 1.7e9 and some fraction
    const std::string text = value.text();
    const auto whole = parse_number(text.substr(0, text.find('.')), 0, 1LL << 33);
    seconds = static_cast<int64_t>(whole.value_or(0));
  }
  if (seconds <= 0 || seconds > 1LL << 33) return 0;
  return seconds < longest_seconds ? now_ns + seconds * second : seconds * second;
}

// "USER:" and the token of what is that in base64.
Result<std::pair<std::string, Secret>> user_and_token(std::string_view encoded) {
  auto plain = from_base64(encoded);
  const size_t colon = plain ? plain->find(':') : std::string::npos;
  if (colon == std::string::npos)
    return error(Errc::invalid, "a token that should be USER:PASSWORD in base64 is not");
  std::pair<std::string, Secret> out{plain->substr(0, colon + 1),
                                     Secret(std::string_view(*plain).substr(colon + 1))};
  wipe(*plain);
  return out;
}

}  // namespace

bool minting_host_matches(std::string_view pattern, std::string_view host) {
  if (pattern.find('*', 1) == std::string_view::npos) return host_matches(pattern, host);
  const auto wanted = split(pattern, '.');
  const auto given = split(host, '.');
  return wanted.size() == given.size() && std::equal(wanted.begin(), wanted.end(), given.begin(),
                                                     [](std::string_view a, std::string_view b) {
                                                       return a == b || (a == "*" && !b.empty());
                                                     });
}

Mint::Mint(std::vector<Minting> mintings, std::vector<std::string> credential_headers,
           const Clock& clock)
    : mintings_(std::move(mintings)),
      credential_headers_(std::move(credential_headers)),
      clock_(clock) {
  for (const Minting& minting : mintings_) {
    std::string mark;
    for (size_t i = 0; i < marks_.size(); ++i)
      if (mintings_[i].label == minting.label) mark = marks_[i];
    marks_.push_back(mark.empty() ? "moat_" + hex(random_bytes(mark_bytes)) : mark);
  }
}

std::vector<Placeholder> Mint::marks() const {
  std::vector<Placeholder> out;
  for (size_t i = 0; i < mintings_.size(); ++i) {
    const bool had = std::any_of(out.begin(), out.end(),
                                 [&](const Placeholder& other) { return other.text == marks_[i]; });
    if (!had) out.push_back({mintings_[i].label, marks_[i], mintings_[i].homes});
  }
  return out;
}

const Minting* Mint::minting_for(std::string_view scheme, std::string_view host,
                                 std::string_view target) const {
  if (scheme != "https") return nullptr;
  for (const Minting& minting : mintings_) {
    if (!minting_host_matches(minting.host, host)) continue;
    const bool there =
        std::any_of(minting.paths.begin(), minting.paths.end(),
                    [target](const std::string& lead) { return may_begin_with(target, lead); });
    if (there || minting.paths.empty()) return &minting;
  }
  return nullptr;
}

void Mint::forget_expired() {
  const int64_t now = clock_.wall_ns();
  const auto over = std::remove_if(pairs_.begin(), pairs_.end(), [now](const Pair& pair) {
    return pair.expires_ns != 0 && pair.expires_ns < now;
  });
  pairs_.erase(over, pairs_.end());
}

const std::string& Mint::placeholder_for(size_t kind, std::string_view token, int64_t expires_ns) {
  for (Pair& pair : pairs_) {
    if (pair.kind != kind || !pair.token.equals(token)) continue;
    pair.expires_ns = expires_ns;
    return pair.placeholder;
  }
  if (pairs_.size() == most_tokens) pairs_.pop_front();
  pairs_.push_back({kind, marks_[kind] + hex(random_bytes(own_bytes)), Secret(token), expires_ns,
                    std::make_shared<Guard>()});
  return pairs_.back().placeholder;
}

Result<Mint::Answer> Mint::take(const Minting& minting, std::string_view json) {
  const auto kind = static_cast<size_t>(&minting - mintings_.data());
  forget_expired();
  Answer answer;
  auto parsed = Json::parse(json);
  if (!parsed) return parsed.error();
  answer.minted.expires_ns = expiry(parsed->view(), minting.expires, clock_.wall_ns());
  parsed->wipe();
  auto text = replace_json_strings(
      json, minting.members, [&](std::string_view held) -> Result<std::string> {
        if (held.empty()) return std::string();
        if (answer.minted.tokens == most_in_answer)
          return error(Errc::invalid, "it holds more than %zu tokens", most_in_answer);
        std::string before;
        Secret token(held);
        if (minting.basic) {
          auto pair = user_and_token(held);
          if (!pair) return pair.error();
          before = std::move(pair->first);
          token = std::move(pair->second);
          answer.tokens.emplace_back(held);
        }
        if (!is_word(token.reveal()))
          return error(Errc::invalid, "a token cannot be sent in a header");
        std::string out = before + placeholder_for(kind, token.reveal(), answer.minted.expires_ns);
        answer.tokens.push_back(std::move(token));
        ++answer.minted.tokens;
        return minting.basic ? base64(out) : out;
      });
  if (!text) return text.error();
  answer.text = std::move(*text);
  answer.minted.label = minting.label;
  return answer;
}

const Mint::Pair* Mint::find(std::string_view text, size_t& at) const {
  for (const std::string& mark : marks_) {
    at = text.find(mark);
    if (at == std::string_view::npos) continue;
    const std::string_view whole = text.substr(at, placeholder_size);
    for (const Pair& pair : pairs_)
      if (pair.placeholder == whole) return &pair;
  }
  return nullptr;
}

std::optional<Mint::Real> Mint::real_in(const Header& header, std::string_view host) const {
  constexpr std::string_view basic = "Basic ";
  const auto usable = [&](const Pair* pair) {
    return pair != nullptr && any_host(mintings_[pair->kind].takers, host);
  };
  const auto with_token = [](std::string_view text, size_t at, const Pair& pair) {
    std::string out;
    out.reserve(text.size() + pair.token.size());
    out.append(text.substr(0, at)).append(pair.token.reveal());
    return out.append(text.substr(at + placeholder_size));
  };
  const auto made = [&](const Pair& pair, std::string value) {
    Real real{mintings_[pair.kind].label, header.name, Secret(value), pair.token.clone(),
              pair.guard};
    wipe(value);
    return real;
  };
  size_t at = 0;
  if (const Pair* pair = find(header.value, at); usable(pair))
    return made(*pair, with_token(header.value, at, *pair));
  if (!equals_ignoring_case(header.value.substr(0, basic.size()), basic)) return std::nullopt;
  const auto plain = from_base64(trim(std::string_view(header.value).substr(basic.size())));
  if (!plain) return std::nullopt;
  const Pair* pair = find(*plain, at);
  if (!usable(pair)) return std::nullopt;
  std::string whole = with_token(*plain, at, *pair);
  std::string encoded = base64(whole);
  wipe(whole);
  std::string value;
  value.reserve(basic.size() + encoded.size());
  value.append(basic).append(encoded);
  wipe(encoded);
  return made(*pair, std::move(value));
}

std::optional<Mint::Real> Mint::real_for(std::string_view scheme, std::string_view host,
                                         const Headers& headers) {
  if (pairs_.empty() || scheme != "https") return std::nullopt;
  forget_expired();
  for (const Header& header : headers) {
    const bool carries = std::any_of(
        credential_headers_.begin(), credential_headers_.end(),
        [&header](const std::string& name) { return equals_ignoring_case(header.name, name); });
    if (!carries) continue;
    if (auto real = real_in(header, host)) return real;
  }
  return std::nullopt;
}

}  // namespace moat::proxy
