// Where moat keeps things: $MOAT_HOME, by default ~/.moat, mode 0700.
#pragma once

#include <string>

#include "core/result.h"

namespace moat {

struct Home {
  std::string root;
  [[nodiscard]] std::string runs() const { return root + "/runs"; }
  [[nodiscard]] std::string run(const std::string& id) const { return runs() + "/" + id; }
};

// Makes it where it is missing. Errc::denied when it cannot be written, belongs to somebody else
// or is open to others: the message has the remedy.
Result<Home> open_home();

// The moat-init binary: beside this program, in ../libexec/moat, or where it was installed to.
Result<std::string> find_moat_init();

}  // namespace moat
