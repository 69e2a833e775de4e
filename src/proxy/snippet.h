// Snippet: how a message's body begins, where its media type says that it is text. What the record
// keeps of bodies.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "proxy/http.h"

namespace moat::proxy {

class Snippet {
 public:
  static constexpr size_t most = 8 * 1024;

  // A body comes with these headers. Nothing is kept of one that is not text, nor before this.
  void begin(const Headers& headers);
  // As transferred: content codings are not undone.
  void add(std::string_view bytes) {
    if (open_) take(bytes);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] bool cut() const { return cut_; }  // there was more

 private:
  void take(std::string_view bytes);

  std::string bytes_;
  bool open_ = false;
  bool cut_ = false;
};

// Is that text, by what is before the parameters (RFC 9110 8.3.1)?
bool is_text(std::string_view media_type);

}  // namespace moat::proxy
