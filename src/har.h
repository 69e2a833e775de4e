// HarWriter: exchanges as an HTTP archive, HAR 1.2, which browsers' network panels open
// (http://www.softwareishard.com/blog/har-12-spec/). Pure: text goes to a function.
#pragma once

#include <functional>
#include <string_view>

#include "core/json.h"
#include "runs.h"

namespace moat {

class HarWriter {
 public:
  using Write = std::function<void(std::string_view)>;
  // What comes before the entries is written at once.
  HarWriter(const RunEntry& run, Write write);

  // What is in the record under "exchange". A connection that never became a request has no place
  // in an archive of HTTP, and is passed over.
  void add(const Json::View& exchange);
  // Ends the archive, which is whole then.
  void finish();

 private:
  Write write_;
  bool first_ = true;
};

}  // namespace moat
