// Arrival: a connection that begins with a PROXY protocol header, until that has come. Reads not a
// byte beyond it.
#pragma once

#include <functional>
#include <string>

#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"
#include "proxy/proxy_v2.h"

namespace moat::proxy {

class Arrival {
 public:
  // Called once, from the loop, with the connection; may destroy the arrival.
  using Done = std::function<void(Fd, Result<ProxyV2Header>)>;
  // `fd` does not block. The header must be there within `limit`.
  Arrival(Loop& loop, Fd fd, Milliseconds limit, Done done);
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

 private:
  void read_some();
  void finish(Result<ProxyV2Header> header);

  Fd fd_;
  Done done_;
  std::string header_;
  size_t wanted_ = proxy_v2_prefix;
  Watch watch_;  // depends-on: fd_
  Timer timer_;
};

}  // namespace moat::proxy
