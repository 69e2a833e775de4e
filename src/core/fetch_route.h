// Where a request of Fetcher's is to be connected: to the URL's host, to where connect_to sends
// it, or to the proxy that the environment names. No sockets, no names resolved.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "core/result.h"

namespace moat {

struct Route {
  std::string label;  // the URL for messages: without query, fragment and user
  std::string host;   // to resolve and connect to; without brackets
  uint16_t port = 0;
  std::string connect_to;  // for CURLOPT_CONNECT_TO; empty: the URL's own host
  std::string proxy;       // for CURLOPT_PROXY; empty: none
};

// A host and a port: "name:443", "[2001:db8::1]:443".
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
Result<HostPort> parse_host_port(const std::string& text);

using Environment = std::function<const char*(const char* name)>;

// http and https only. The environment is read as curl(1) does: http_proxy (lower case only),
// https_proxy, all_proxy and no_proxy in either case.
Result<Route> route_of(const std::string& url, const std::map<std::string, std::string>& connect_to,
                       const Environment& environment);

}  // namespace moat
