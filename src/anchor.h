// Anchor: a place outside of a run's own directory that signed heads are handed to, so that a
// record that was cut, or made anew, can be told from the one that was. The kinds are in a file
// each.
//
// A head is 200 bytes, and each covers all that came before it: one that cannot be handed on is not
// queued, for a newer one says more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/loop.h"
#include "core/result.h"
#include "store/record.h"
#include "user_config.h"

namespace moat {

class Anchor {
 public:
  // Called once for each take(), from inside of it or from the loop later.
  using Done = std::function<void(const Result<void>&)>;

  virtual ~Anchor() = default;  // cancels; nothing is called any more
  // For people: "file /var/log/moat-heads". Of commands and URLs only what cannot be secret.
  [[nodiscard]] virtual std::string name() const = 0;
  // `head` is of the run `run`. Not again before `done` was called. Never blocks.
  virtual void take(const std::string& run, const store::SignedHead& head, Done done) = 0;
};

// Appends the note to a file, which is made 0600 where it is missing; or to a FIFO that has a
// reader.
std::unique_ptr<Anchor> make_file_anchor(std::string path);

// "moat.run/ID SIZE ROOT", the root in hexadecimal, as a datagram for the system's log.
std::unique_ptr<Anchor> make_syslog_anchor(int facility, std::string socket = "/dev/log");

// Runs a command with the note on its standard input, and MOAT_RUN, MOAT_SIZE and MOAT_ROOT in its
// environment. It has `limit`, and leads a session that is killed then.
std::unique_ptr<Anchor> make_command_anchor(Loop& loop, std::vector<std::string> command,
                                            Milliseconds limit);

// Asks an authority for a time stamp over the note. `environment` names proxies as the variables
// http_proxy, https_proxy and no_proxy would. `on_stamp` gets what has been checked to answer.
using OnStamp = std::function<void(uint64_t size, std::string_view der)>;
std::unique_ptr<Anchor> make_timestamp_anchor(Loop& loop, std::string url, ReadVariable environment,
                                              Milliseconds limit, OnStamp on_stamp);

}  // namespace moat
