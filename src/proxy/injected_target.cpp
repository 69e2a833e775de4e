#include "proxy/injected_target.h"

#include <algorithm>

#include "core/secret.h"
#include "core/text.h"
#include "proxy/target_path.h"

namespace moat::proxy {
namespace {

// The character at `at`, an escape taken for what it stands for; `size` is how much it takes.
char decoded_at(std::string_view text, size_t at, size_t& size) {
  size = 1;
  if (text[at] != '%' || at + 2 >= text.size()) return text[at];
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  if (high < 0 || low < 0) return text[at];
  size = 3;
  return static_cast<char>(high * 16 + low);
}

// How much of `path` is `lead`, in whatever way it is written; 0: it does not begin so.
size_t lead_length(std::string_view path, std::string_view lead) {
  size_t at = 0;
  size_t size = 0;
  for (const char wanted : lead) {
    if (at >= path.size() || decoded_at(path, at, size) != wanted) return 0;
    at += size;
  }
  return at;
}

// Might an origin, careful or careless, see a path that begins with `lead`? Or, where it has to be
// `certain`: would each of them, and with `lead` a whole segment?
bool seen_as(std::string_view target, std::string_view lead, bool certain) {
  const TargetPath path = understand_path(target);
  const TargetPath wanted = understand_path(lead);
  const auto begins = [certain](const std::string& text, const std::string& how) {
    if (text.compare(0, how.size(), how) != 0) return false;
    return !certain || text.size() == how.size() || text[how.size()] == '/';
  };
  const bool exact = begins(path.exact, wanted.exact);
  const bool loose = begins(path.loose, wanted.loose);
  return certain ? exact && loose && path.trick.empty() : exact || loose;
}

}  // namespace

size_t remove_parameters(std::string& target,
                         const std::function<bool(std::string_view, std::string_view)>& unwanted) {
  const size_t query = target.find('?');
  if (query == std::string::npos) return 0;
  size_t removed = 0;
  size_t at = query + 1;
  while (at < target.size()) {
    const size_t end = std::min(target.find_first_of("&;#", at), target.size());
    const std::string_view pair = std::string_view(target).substr(at, end - at);
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string name = percent_decoded(pair.substr(0, equals), true);
    std::string value = percent_decoded(pair.substr(std::min(equals + 1, pair.size())), true);
    const bool goes = !pair.empty() && unwanted(name, value);
    wipe(value);
    if (goes) {
      ++removed;
      target.erase(at, end + 1 - at);  // with what separates it from the next
    } else {
      at = end + 1;
    }
  }
  // Nothing is left behind the last separator, or behind the question mark.
  if (removed > 0 && at == target.size()) target.pop_back();
  return removed;
}

void append_parameter(std::string& target, std::string_view name, std::string_view value) {
  const size_t query = target.find('?');
  std::string out;
  out.reserve(target.size() + name.size() + value.size() + 2);
  out.append(target);
  if (query == std::string::npos) {
    out += '?';
  } else if (query + 1 != target.size() && out.back() != '&') {
    out += '&';
  }
  out.append(name).append("=").append(value);
  wipe(target);
  target = std::move(out);
}

Segment replace_segment(std::string& target, std::string_view lead, std::string_view value) {
  const size_t length = lead_length(target, lead);
  const std::string whole = std::string(lead) + std::string(value);
  if (length == 0 && !seen_as(target, lead, false)) return Segment::none;
  // "%2F" ends it too, for whoever takes that for a slash.
  size_t end = length;
  for (size_t size = 0; end < target.size(); end += size) {
    if (target[end] == '?' || target[end] == '#') break;
    if (decoded_at(target, end, size) == '/') break;
  }
  std::string out;
  out.reserve(whole.size() + target.size());
  out.append(whole);
  if (length > 0) out.append(target, end);
  if (!seen_as(out, whole, true)) out.resize(whole.size());
  target = std::move(out);
  return end > length || length == 0 ? Segment::replaced : Segment::filled;
}

bool may_begin_with(std::string_view target, std::string_view lead) {
  const TargetPath path = understand_path(target);
  const std::string wanted = lower(lead);
  const auto begins = [&wanted](const std::string& text) {
    const std::string seen = lower(text);
    return seen.starts_with(wanted) &&
           (seen.size() == wanted.size() || wanted.ends_with('/') || seen[wanted.size()] == '/');
  };
  return !path.trick.empty() || begins(path.exact) || begins(path.loose);
}

std::string percent_encoded(std::string_view text, std::string_view also) {
  constexpr std::string_view unreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(3 * text.size());
  for (const char c : text) {
    if (unreserved.find(c) != std::string_view::npos || also.find(c) != std::string_view::npos) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

}  // namespace moat::proxy
