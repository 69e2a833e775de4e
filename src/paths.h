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

// Where it is or would be, absolute; makes nothing.
Result<std::string> home_path();

// Makes it where it is missing. Errc::denied when it cannot be written, belongs to somebody else
// or is open to others: the message has the remedy.
Result<Home> open_home();

// The path with symbolic links, "." and ".." taken out, as far as it exists; the rest is appended
// as it is. `path` is absolute.
std::string real_path(const std::string& path);
// Is `path` the directory `top`, or inside of it? Both as real_path() gives them.
bool is_inside(const std::string& path, const std::string& top);

// The moat-init binary: beside this program, in ../libexec/moat, or where it was installed to.
Result<std::string> find_moat_init();

}  // namespace moat
