// The two ends of an exchange, whatever version of HTTP each of them speaks. What stands between
// them (relay.h) decides, injects and records, and knows neither sockets nor framing.
//
// Back-pressure: whoever takes bytes says whether it takes more (takes_body, takes_response); a
// giver that was told no waits for resume(). Nobody destroys a side from inside its own callback,
// except where it says so.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "proxy/http.h"

namespace moat::proxy {

// The agent's end of one exchange: takes a response.
class AgentSide {
 public:
  virtual ~AgentSide() = default;

  virtual void send_informational(ResponseHead head) = 0;  // 1xx but 101
  virtual void send_head(ResponseHead head, BodyLength length) = 0;
  virtual void send_body(std::string_view bytes) = 0;
  virtual void send_end(const Headers& trailers) = 0;
  // A 101: from here on bodies are the bytes of another protocol, and an end is half a close.
  virtual void switch_protocols(ResponseHead head) = 0;
  // A CONNECT that is granted: what follows is a connection for this name.
  virtual void accept_connect(const std::string& host, uint16_t port) = 0;

  [[nodiscard]] virtual bool full() const = 0;  // takes no more response for now
  virtual void resume() = 0;                    // the exchange takes request body again
  virtual void moved() = 0;                     // bytes have come or gone: not idle
  // The exchange is over, and wants to be destroyed from the loop. `cut`: the response that was
  // begun has no proper end, and the agent must be able to see that.
  virtual void finished(bool cut) = 0;
};

// An origin's end of one exchange: takes a request.
class OriginSide {
 public:
  struct Handler {
    virtual ~Handler() = default;
    virtual void on_informational(ResponseHead head) = 0;
    virtual void on_response(ResponseHead head, BodyLength length) = 0;
    virtual void on_response_body(std::string_view bytes) = 0;
    virtual void on_response_end(Headers trailers) = 0;
    virtual void on_origin_drained() = 0;
    // It ends before the response does. May destroy the side.
    virtual void on_origin_failed(const Error& error) = 0;
    [[nodiscard]] virtual bool takes_response() const = 0;
  };
  virtual ~OriginSide() = default;

  // The head is end-to-end only: framing and connection headers are added here.
  virtual void start(Handler& handler, const RequestHead& head, BodyLength length) = 0;
  virtual void send_body(std::string_view bytes) = 0;
  virtual void send_end(const Headers& trailers) = 0;
  virtual void become_tunnel() = 0;  // after a 101, from inside on_response
  virtual void stop() = 0;           // no more callbacks; nothing of it is wanted any more

  [[nodiscard]] virtual bool full() const = 0;
  virtual void resume() = 0;                        // the exchange takes response again
  [[nodiscard]] virtual bool answered() const = 0;  // a byte of the response has come
  [[nodiscard]] virtual bool reused() const = 0;    // not the first exchange on its connection
  // It is certain that the origin has not looked at the request: whatever it asks for, it may be
  // sent again.
  [[nodiscard]] virtual bool unseen() const { return false; }
  [[nodiscard]] virtual const std::string& address() const = 0;  // "1.2.3.4:443"
  [[nodiscard]] virtual std::string version() const = 0;         // "HTTP/1.1", of the response

  // After the end of an exchange: may another be started? Then it can wait for one. `gone` is
  // called at most once, when the origin ends the connection meanwhile; it destroys the side.
  [[nodiscard]] virtual bool reusable() const = 0;
  virtual void park(std::function<void()> gone) = 0;
};

}  // namespace moat::proxy
