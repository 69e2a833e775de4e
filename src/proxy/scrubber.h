// Scrubber: keeps secrets out of what streams to the agent. Replaces each occurrence by as many
// '*', so that lengths stay, and holds back no byte that cannot be the beginning of one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/secret.h"
#include "proxy/escaped_patterns.h"

namespace moat::proxy {

// The forms in which one secret may come back: raw, base64 in its three alignments, base64url, hex
// in both cases, percent-encoded, JSON-escaped; and the first three with any of their characters
// escaped. Built once for each credential and shared by all exchanges that carry it.
class ScrubPatterns {
 public:
  // Adds all forms of `secret`; one of fewer than 8 bytes is taken raw only, and of fewer than 4
  // not at all, for it would hit ordinary text.
  void add(std::string_view secret);
  void add(const std::vector<Secret>& secrets);  // quicker than one by one
  [[nodiscard]] bool empty() const { return patterns_.empty(); }
  [[nodiscard]] size_t longest() const { return longest_; }

  // The places before `until` where a pattern begins, in order, with the length of the longest that
  // does.
  [[nodiscard]] std::vector<ScrubMatch> find(std::string_view text, size_t until) const;
  [[nodiscard]] bool clean(std::string_view text) const { return find(text, text.size()).empty(); }
  // Where the tail of `text` begins that may yet become a pattern; its size when there is none.
  [[nodiscard]] size_t open_tail(std::string_view text) const;

 private:
  static constexpr size_t shift_count = 4096;
  void add_forms(std::string_view secret);
  void add_form(std::string& form);  // and wipes it
  void index();
  [[nodiscard]] ScrubMatch next(std::string_view text, size_t from, size_t until) const;
  [[nodiscard]] bool none_exact(std::string_view text, size_t until) const;
  [[nodiscard]] size_t longest_at(std::string_view text) const;

  std::vector<Secret> patterns_;  // by their first byte
  size_t longest_ = 0;
  // After Wu and Manber: by the two bytes at the end of a window of the shortest pattern's length,
  // how far the window can move without passing over a pattern.
  size_t window_ = 0;
  std::vector<unsigned char> shifts_;
  std::array<uint32_t, 257> first_{};  // where the patterns with this first byte begin
  EscapedPatterns escaped_;
};

class Scrubber {
 public:
  // `patterns` outlives the scrubber.
  explicit Scrubber(const ScrubPatterns& patterns) : patterns_(&patterns) {}
  ~Scrubber();
  Scrubber(const Scrubber&) = delete;
  Scrubber& operator=(const Scrubber&) = delete;
  // From here on look for these, which take the place of the former.
  void learn(const ScrubPatterns& patterns) { patterns_ = &patterns; }
  // Returns what may leave now: the input, scrubbed, less a tail that may begin a secret. Good
  // until the next call, and as long as `bytes`: where there is nothing to scrub, it lies in them.
  std::string_view feed(std::string_view bytes);
  // The rest, at the end of the body.
  std::string_view finish();
  [[nodiscard]] size_t hits() const { return hits_; }
  // A tail is held back.
  [[nodiscard]] bool open() const { return !held_.empty(); }

 private:
  std::string_view release(std::string_view text, size_t count);

  const ScrubPatterns* patterns_;
  std::string out_;    // what the last call returned, unless that lay in its input
  std::string held_;   // as it came; may be a piece of a secret
  size_t masked_ = 0;  // bytes at its start that belong to a secret found before
  size_t hits_ = 0;
};

// All at once, for headers.
std::string scrub(const ScrubPatterns& patterns, std::string_view text, size_t* hits = nullptr);

}  // namespace moat::proxy
