#include "proxy/escaped_patterns.h"

#include <algorithm>
#include <cstring>

#include "proxy/scrub_escapes.h"

namespace moat::proxy {
namespace {

// Does `text` stand just before `at`?
bool stands_before(std::string_view text, size_t at, std::string_view part) {
  return at >= part.size() && text.substr(at - part.size(), part.size()) == part;
}

}  // namespace

void EscapedPatterns::add(std::string_view form) {
  const bool known = std::any_of(forms_.begin(), forms_.end(),
                                 [form](const Secret& other) { return other.reveal() == form; });
  if (known || form.empty()) return;
  for (size_t i = 0; i < form.size(); ++i)
    places_[static_cast<unsigned char>(form[i])].push_back(
        {static_cast<uint32_t>(forms_.size()), static_cast<uint32_t>(i)});
  forms_.emplace_back(form);
  longest_ = std::max(longest_, form.size());
}

// `visit(position, escape)` for what begins an escape, or may, in [from, until).
template <class Visit>
void EscapedPatterns::visit_leads(std::string_view text, size_t from, size_t until,
                                  Visit visit) const {
  until = std::min(until, text.size());
  for (const char lead : escape_leads) {
    for (size_t at = from; at < until; ++at) {
      const void* found = memchr(text.data() + at, lead, until - at);
      if (found == nullptr) break;
      at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
      if (at + 1 < text.size() && !may_escape(lead, text[at + 1])) continue;
      visit(at, read_escape(text.substr(at)));
    }
  }
}

// What of a form is left, against the text from `at` on.
EscapedPatterns::Reading EscapedPatterns::read_on(std::string_view text, size_t at,
                                                  std::string_view rest) const {
  while (!rest.empty()) {
    if (at == text.size()) return {Outcome::open, at};
    if (text[at] == rest.front()) {
      ++at;
      rest.remove_prefix(1);
      continue;
    }
    if (escape_leads.find(text[at]) == std::string_view::npos) return {};
    const Escape escape = read_escape(text.substr(at));
    if (escape.open) return {Outcome::open, at};
    const bool same = escape.length > 0 && rest.size() >= escape.count &&
                      memcmp(rest.data(), escape.bytes, escape.count) == 0;
    if (!same) return {};
    at += escape.length;
    rest.remove_prefix(escape.count);
  }
  return {Outcome::matches, at};
}

// Before its first escape an occurrence is the form itself, so each escape is tried as the first
// one at each place of the forms that has its character.
void EscapedPatterns::find(std::string_view text, size_t until,
                           std::vector<ScrubMatch>& matches) const {
  if (forms_.empty()) return;
  visit_leads(text, 0, until + longest_, [&](size_t at, const Escape& escape) {
    if (escape.length == 0) return;
    for (const Place& place : places_[escape.bytes[0]]) {
      const std::string_view form = forms_[place.form].reveal();
      if (!stands_before(text, at, form.substr(0, place.index))) continue;
      const size_t start = at - place.index;
      if (start >= until) continue;
      const Reading reading = read_on(text, at, form.substr(place.index));
      if (reading.outcome == Outcome::matches) matches.push_back({start, reading.end - start});
    }
  });
}

size_t EscapedPatterns::open_tail(std::string_view text) const {
  size_t open = text.size();
  if (forms_.empty()) return open;
  const size_t reach = std::min(text.size(), longest_ * longest_escape);
  visit_leads(text, text.size() - reach, text.size(), [&](size_t at, const Escape& escape) {
    if (escape.length == 0 && !escape.open) return;
    const auto consider = [&](std::string_view form, size_t index) {
      if (at - index >= open || !stands_before(text, at, form.substr(0, index))) return;
      const bool may_be =
          escape.open || read_on(text, at, form.substr(index)).outcome == Outcome::open;
      if (may_be) open = at - index;
    };
    if (!escape.open) {
      for (const Place& place : places_[escape.bytes[0]]) {
        if (place.index <= at) consider(forms_[place.form].reveal(), place.index);
      }
      return;
    }
    for (const Secret& form : forms_) {
      for (size_t index = std::min(at, form.size() - 1) + 1; index-- > 0;)
        consider(form.reveal(), index);
    }
  });
  return open;
}

}  // namespace moat::proxy
