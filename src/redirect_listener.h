// RedirectListener: where a browser ends a login (RFC 8252 section 7.3): a small HTTP server on
// 127.0.0.1 that takes one answer and shows one page, of fixed text. Anybody on this machine, and
// any page in a browser, may connect to it: what is not the answer gets 4xx and changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/loop.h"
#include "core/result.h"

namespace moat {

struct RedirectPlace {
  std::string host = "127.0.0.1";  // as the service knows it: or "localhost"
  uint16_t port = 0;               // 0: any
  std::string path = "/callback";
};

class RedirectListener {
 public:
  enum class Verdict {
    none,     // it is no answer: 400, and on with it
    granted,  // the page says that all is well
    failed,   // the page says to look at the terminal
  };
  // From the loop; what stands behind the '?'. Must not destroy the listener.
  using OnQuery = std::function<Verdict(std::string_view query)>;

  // Errc::busy where the port is taken.
  static Result<std::unique_ptr<RedirectListener>> open(Loop& loop, RedirectPlace place);
  ~RedirectListener();
  RedirectListener(const RedirectListener&) = delete;  // callbacks keep the address
  RedirectListener& operator=(const RedirectListener&) = delete;

  [[nodiscard]] const std::string& uri() const { return uri_; }
  // From here on it answers, until an answer was taken or it goes.
  void begin(OnQuery on_query);
  // Connections are refused from now on; who is being answered still is.
  void stop();

 private:
  class Client;
  RedirectListener(Loop& loop, Fd fd, RedirectPlace place, uint16_t port);
  void accept_one();
  void prune();
  [[nodiscard]] bool is_for_us(std::string_view authority) const;

  Loop& loop_;
  RedirectPlace place_;
  uint16_t port_;
  std::string uri_;
  OnQuery on_query_;
  Fd fd_;
  Watch watch_;  // depends-on: fd_
  Timer prune_;  // drops clients that have left, from the loop
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace moat
