// moat version: which one this is.
#include "command.h"
#include "core/json.h"
#include "print.h"

namespace moat {

int cmd_version(const Arguments& arguments) {
  Output out;
  if (arguments.has("json"))
    out.line(Json::object().set("version", MOAT_VERSION).text());
  else
    out.line("moat " MOAT_VERSION);
  return out.finish(exit_ok);
}

}  // namespace moat
