// EscapedPatterns: finds forms of a secret of which some characters, or all, are escaped:
// "gh%70_x",
// "\u0067hp_x". Which are and how is the writer's choice, so no list of forms could hold them all.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/secret.h"

namespace moat::proxy {

struct ScrubMatch {
  size_t at = std::string_view::npos;
  size_t length = 0;
};

class EscapedPatterns {
 public:
  void add(std::string_view form);
  // Appends each occurrence with at least one escape in it that begins before `until`.
  void find(std::string_view text, size_t until, std::vector<ScrubMatch>& matches) const;
  // Where the tail of `text` begins that may yet become one; its size when there is none. (A tail
  // without an escape is not looked at: it may become the form itself.)
  [[nodiscard]] size_t open_tail(std::string_view text) const;

 private:
  struct Place {
    uint32_t form;
    uint32_t index;
  };
  enum class Outcome { differs, matches, open };
  struct Reading {
    Outcome outcome = Outcome::differs;
    size_t end = 0;
  };
  [[nodiscard]] Reading read_on(std::string_view text, size_t at, std::string_view rest) const;
  template <class Visit>
  void visit_leads(std::string_view text, size_t from, size_t until, Visit visit) const;

  std::vector<Secret> forms_;
  std::array<std::vector<Place>, 256> places_;  // of each byte within the forms
  size_t longest_ = 0;
};

}  // namespace moat::proxy
