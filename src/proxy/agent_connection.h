// AgentConnection: a connection of the agent's that speaks some version of HTTP, as whoever owns
// its transport sees it.
#pragma once

#include <cstdint>
#include <string>

#include "core/loop.h"
#include "core/result.h"

namespace moat::proxy {

class AgentConnection {
 public:
  struct Owner {
    virtual ~Owner() = default;
    // on_limit() is to be called when this much time has passed; the last word counts.
    virtual void limit(Milliseconds time) = 0;
    // A CONNECT was granted, and what is left in the transport's input is for that name. From the
    // loop; may destroy us.
    virtual void connect_granted(std::string host, uint16_t port) = 0;
    // The connection has ended, and is closed.
    virtual void over() = 0;
  };
  virtual ~AgentConnection() = default;

  virtual void on_input() = 0;
  virtual void on_end() = 0;
  virtual void on_drained() = 0;
  virtual void on_error(const Error& error) = 0;
  virtual void on_limit() = 0;
  [[nodiscard]] virtual bool had_request() const = 0;
};

}  // namespace moat::proxy
