// Scrubber: keeps secrets out of what streams to the agent. Replaces each occurrence by as many
// '*', so that lengths stay, and holds back no byte that cannot be the beginning of one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/secret.h"

namespace moat::proxy {

// The forms in which one secret may come back: raw, base64 in its three alignments, base64url, hex
// in both cases, percent-encoded, JSON-escaped. Built once for each credential and shared by all
// exchanges that carry it.
class ScrubPatterns {
 public:
  // Adds all forms of `secret`; one of fewer than 8 bytes is taken raw only, and of fewer than 4
  // not at all, for it would hit ordinary text.
  void add(std::string_view secret);
  [[nodiscard]] bool empty() const { return patterns_.empty(); }

 private:
  friend class Scrubber;
  std::vector<Secret> patterns_;
  size_t longest_ = 0;
};

class Scrubber {
 public:
  explicit Scrubber(const ScrubPatterns& patterns) : patterns_(patterns) {}
  // Returns what may leave now: the input, scrubbed, less a tail that may begin a secret.
  std::string feed(std::string_view bytes);
  // The rest, at the end of the body.
  std::string finish();
  [[nodiscard]] size_t hits() const { return hits_; }

 private:
  const ScrubPatterns& patterns_;
  std::string held_;
  size_t hits_ = 0;
};

// All at once, for headers.
std::string scrub(const ScrubPatterns& patterns, std::string_view text, size_t* hits = nullptr);

}  // namespace moat::proxy
