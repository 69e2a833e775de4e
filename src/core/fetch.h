// Fetcher: HTTP requests by libcurl multi on the loop, over TCP or a unix socket. For moat's own
// calls (container engines, token endpoints); the agent's traffic never passes here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/connector.h"
#include "core/loop.h"
#include "core/resolver.h"
#include "core/result.h"
#include "core/secret.h"

namespace moat {

struct FetchRequest {
  std::string method = "GET";
  std::string url;
  std::string unix_socket;  // path; empty for TCP
  std::vector<std::pair<std::string, std::string>> headers;
  Secret bearer;                                               // "Authorization: Bearer …"
  std::vector<std::pair<std::string, Secret>> secret_headers;  // sent like the others
  std::string body;
  std::string ca_file;  // roots besides the system's
  std::vector<std::string> more_ca_files;
  // Sends HOST:PORT elsewhere without touching the name that is verified; from flags and config.
  std::map<std::string, std::string> connect_to;
  // The variables that name proxies (https_proxy and so on); not set: those of the process.
  std::function<const char*(const char* name)> environment;
  // Asked of each address that the URL's host has; what it says against one is Errc::denied. Not
  // asked where connect_to or a proxy decides where to connect.
  std::function<std::optional<std::string>(const SocketAddress& address)> objection;
  Milliseconds limit{30'000};         // zero: none
  size_t max_body = 4 * 1024 * 1024;  // Errc::too_large past it
  // Where set, called with each piece of the body as it comes, and the response's body stays
  // empty; no max_body then.
  std::function<void(std::string_view)> on_body;
};

struct FetchResponse {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;  // names in lower case; the last of a kind
};

class Fetcher {
 public:
  explicit Fetcher(Loop& loop, Resolver::Files files = {});
  ~Fetcher();  // cancels what is under way without calling back
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  // `done` is called once, from the loop, never from inside fetch(): a response of whatever
  // status, or why there is none. Redirects are not followed. Returns an id for cancel().
  using Done = std::function<void(Result<FetchResponse>)>;
  uint64_t fetch(FetchRequest request, Done done);
  void cancel(uint64_t id);  // an id that is done is ignored

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace moat
