// CONNECT, as moat asks it of a proxy in front of it (RFC 9110 9.3.6): the request, and the answer.
// No socket.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/result.h"
#include "proxy/http1.h"
#include "proxy/upstream_proxy.h"

namespace moat::proxy {

// `authority`: "api.example.com:443". The text holds the credentials; the caller wipes it.
std::string write_connect(const UpstreamProxy& proxy, const std::string& authority);

class ConnectAnswer final : private Http1Handler {
 public:
  // `proxy` outlives it.
  ConnectAnswer(const UpstreamProxy& proxy, std::string authority);

  // Consumes a prefix of `bytes` and returns its length: never anything behind the head of a 2xx,
  // which is the tunnel's. Any other answer is an error that names the proxy and the reason, as are
  // one that is no proper HTTP and one that is longer than 16 KiB. Nothing of what the proxy says
  // is in it but the status: a proxy may repeat the credentials.
  Result<size_t> feed(std::string_view bytes);
  // Has a 2xx come, and may the tunnel be used?
  [[nodiscard]] bool open() const { return status_ / 100 == 2; }

 private:
  Result<void> on_response(ResponseHead head, BodyLength length) override;
  Result<void> on_request(RequestHead, BodyLength) override { return {}; }
  Result<void> on_body(std::string_view) override { return {}; }
  Result<void> on_trailers(Headers) override { return {}; }
  Result<void> on_message_end() override { return {}; }
  [[nodiscard]] Error refused() const;

  const UpstreamProxy& proxy_;
  std::string authority_;
  Http1Reader reader_;
  int status_ = 0;
};

// "the proxy proxy.example.com:3128 (HTTPS_PROXY)".
std::string describe(const UpstreamProxy& proxy);

}  // namespace moat::proxy
