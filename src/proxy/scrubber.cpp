#include "proxy/scrubber.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "proxy/scrub_forms.h"

namespace moat::proxy {
namespace {

constexpr size_t shortest_secret = 4;
constexpr size_t shortest_encoded = 8;
constexpr size_t longest_window = 256;  // so that a shift fits a byte

unsigned char byte(char c) {
  return static_cast<unsigned char>(c);
}

// Twelve bits of two bytes.
size_t pair_hash(char a, char b) {
  return (byte(a) << 4 ^ byte(b)) & 0xfff;
}

}  // namespace

void ScrubPatterns::add(std::string_view secret) {
  add_forms(secret);
  index();
}

void ScrubPatterns::add(const std::vector<Secret>& secrets) {
  for (const Secret& secret : secrets) add_forms(secret.reveal());
  index();
}

void ScrubPatterns::add_forms(std::string_view secret) {
  if (secret.size() < shortest_secret) return;
  std::string raw(secret);
  add_form(raw);
  if (secret.size() >= shortest_encoded) {
    escaped_.add(secret);
    for (std::string& form : base64_forms(secret)) {
      escaped_.add(form);
      add_form(form);
    }
    for (std::string& form : encoded_forms(secret)) add_form(form);
  }
}

void ScrubPatterns::add_form(std::string& form) {
  patterns_.emplace_back(std::string_view(form));
  wipe(form);
}

void ScrubPatterns::index() {
  if (patterns_.empty()) return;
  std::sort(patterns_.begin(), patterns_.end(),
            [](const Secret& a, const Secret& b) { return a.reveal() < b.reveal(); });
  const auto same = [](const Secret& a, const Secret& b) { return a.reveal() == b.reveal(); };
  patterns_.erase(std::unique(patterns_.begin(), patterns_.end(), same), patterns_.end());
  size_t shortest = longest_window;
  first_.fill(0);
  for (const Secret& pattern : patterns_) {
    longest_ = std::max(longest_, pattern.size());
    shortest = std::min(shortest, pattern.size());
    ++first_[byte(pattern.reveal().front()) + size_t{1}];
  }
  for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
  window_ = shortest;
  shifts_.assign(shift_count, static_cast<unsigned char>(window_ - 1));
  for (const Secret& pattern : patterns_) {
    const std::string_view text = pattern.reveal();
    for (size_t end = 1; end < window_; ++end) {
      unsigned char& shift = shifts_[pair_hash(text[end - 1], text[end])];
      shift = std::min(shift, static_cast<unsigned char>(window_ - 1 - end));
    }
  }
}

size_t ScrubPatterns::longest_at(std::string_view text) const {
  size_t longest = 0;
  const size_t first = byte(text.front());
  for (size_t i = first_[first]; i < first_[first + 1]; ++i) {
    const std::string_view pattern = patterns_[i].reveal();
    if (pattern.size() > longest && text.substr(0, pattern.size()) == pattern)
      longest = pattern.size();
  }
  return longest;
}

ScrubMatch ScrubPatterns::next(std::string_view text, size_t from, size_t until) const {
  if (patterns_.empty()) return {};
  const size_t last = window_ - 1;
  while (from < until && from + last < text.size()) {
    const size_t shift = shifts_[pair_hash(text[from + last - 1], text[from + last])];
    if (shift > 0) {
      from += shift;
      continue;
    }
    if (const size_t length = longest_at(text.substr(from)); length > 0) return {from, length};
    ++from;
  }
  return {};
}

// Is none of the patterns there as it is? Each step of a walk waits for the one before, so four of
// them side by side take hardly longer than one.
bool ScrubPatterns::none_exact(std::string_view text, size_t until) const {
  constexpr size_t walks = 4;
  if (patterns_.empty()) return true;
  const size_t last = window_ - 1;
  const size_t end = text.size() > last ? std::min(until, text.size() - last) : 0;
  size_t at[walks];
  size_t stop[walks];
  for (size_t i = 0; i < walks; ++i) {
    at[i] = end / walks * i;
    stop[i] = i + 1 < walks ? end / walks * (i + 1) : end;
  }
  const auto step = [&](size_t& from) {
    const size_t shift = shifts_[pair_hash(text[from + last - 1], text[from + last])];
    if (shift == 0 && longest_at(text.substr(from)) > 0) return false;
    from += shift > 0 ? shift : 1;
    return true;
  };
  while (at[0] < stop[0] && at[1] < stop[1] && at[2] < stop[2] && at[3] < stop[3]) {
    if (!(step(at[0]) && step(at[1]) && step(at[2]) && step(at[3]))) return false;
  }
  for (size_t i = 0; i < walks; ++i) {
    if (next(text, at[i], stop[i]).length > 0) return false;
  }
  return true;
}

std::vector<ScrubMatch> ScrubPatterns::find(std::string_view text, size_t until) const {
  std::vector<ScrubMatch> matches;
  for (size_t from = none_exact(text, until) ? until : 0; from < until;) {
    const ScrubMatch match = next(text, from, until);
    if (match.length == 0) break;
    matches.push_back(match);
    from = match.at + 1;
  }
  const size_t exact = matches.size();
  escaped_.find(text, until, matches);
  if (matches.size() > exact) {
    std::sort(matches.begin(), matches.end(),
              [](const ScrubMatch& a, const ScrubMatch& b) { return a.at < b.at; });
  }
  return matches;
}

size_t ScrubPatterns::open_tail(std::string_view text) const {
  const size_t escaped = escaped_.open_tail(text);
  size_t at = text.size() - std::min(text.size(), longest_ > 0 ? longest_ - 1 : 0);
  for (; at < text.size(); ++at) {
    const std::string_view tail = text.substr(at);
    const size_t first = byte(tail.front());
    for (size_t i = first_[first]; i < first_[first + 1]; ++i) {
      const std::string_view pattern = patterns_[i].reveal();
      if (pattern.size() > tail.size() && pattern.substr(0, tail.size()) == tail)
        return std::min(at, escaped);
    }
  }
  return escaped;
}

Scrubber::~Scrubber() {
  wipe(held_);
}

std::string_view Scrubber::feed(std::string_view bytes) {
  if (held_.empty()) {
    const size_t count = patterns_->open_tail(bytes);
    held_ = bytes.substr(count);
    return release(bytes, count);
  }
  held_ += bytes;
  const size_t count = patterns_->open_tail(held_);
  out_ = std::string(release(held_, count));
  std::string rest = held_.substr(count);
  wipe(held_);
  held_ = std::move(rest);
  return out_;
}

std::string_view Scrubber::finish() {
  out_ = std::string(release(held_, held_.size()));
  wipe(held_);
  held_.clear();
  masked_ = 0;
  return out_;
}

// The first `count` bytes of `text`, every byte of every secret that begins among them masked: in
// out_, or where there is none, as they stand. Overlapping ones too: masking the one and leaving
// the other's rest would tell something.
std::string_view Scrubber::release(std::string_view text, size_t count) {
  const std::vector<ScrubMatch> matches = patterns_->find(text, count);
  if (matches.empty() && masked_ == 0) return text.substr(0, count);
  std::string out(text.substr(0, count));
  size_t masked = masked_;  // up to here
  const auto mask = [&](size_t from, size_t to) {
    from = std::min(from, count);
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(from),
              out.begin() + static_cast<std::ptrdiff_t>(std::min(to, count)), '*');
  };
  mask(0, masked);
  for (const ScrubMatch& match : matches) {
    if (match.at >= masked) ++hits_;
    mask(match.at, match.at + match.length);
    masked = std::max(masked, match.at + match.length);
  }
  masked_ = masked > count ? masked - count : 0;
  out_ = std::move(out);
  return out_;
}

std::string scrub(const ScrubPatterns& patterns, std::string_view text, size_t* hits) {
  if (patterns.clean(text)) return std::string(text);
  Scrubber scrubber(patterns);
  std::string out(scrubber.feed(text));
  out += scrubber.finish();
  if (hits != nullptr) *hits += scrubber.hits();
  return out;
}

}  // namespace moat::proxy
