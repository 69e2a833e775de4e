// Who asked for something that happens to a run, for its record.
#pragma once

#include <cstdint>
#include <string>

#include "core/json.h"
#include "core/loop.h"

namespace moat {

struct Asker {
  std::string by;   // in words: "moat stop", "SIGTERM", "Ctrl-C"
  int64_t pid = 0;  // of the process that asked, as the kernel tells; 0: moat itself, or the kernel
  int64_t uid = -1;  // its user; -1 where there is no process

  // The members of an audit record that say so.
  [[nodiscard]] Json to_json() const {
    Json json = Json::object();
    json.set("by", by);
    if (pid != 0) json.set("pid", pid).set("uid", uid);
    return json;
  }
};

// Whoever sent the last signal of this number.
inline Asker asker(const char* by, int signal) {
  const SignalSender sender = Signal::sender(signal);
  if (sender.pid == 0) return {by};
  return {by, sender.pid, sender.uid};
}

}  // namespace moat
