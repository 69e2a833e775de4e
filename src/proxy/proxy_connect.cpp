#include "proxy/proxy_connect.h"

#include <utility>

#include "core/text.h"
#include "proxy/refusal.h"

namespace moat::proxy {
namespace {

Http1Limits limits() {
  Http1Limits limits;
  limits.head_bytes = 16 * 1024;
  limits.header_count = 100;
  return limits;
}

}  // namespace

std::string describe(const UpstreamProxy& proxy) {
  return "the proxy " + proxy.name() + " (" + proxy.where + ")";
}

std::string write_connect(const UpstreamProxy& proxy, const std::string& authority) {
  std::string text;
  // Room for all of it: a string that grows leaves copies of the credentials behind.
  text.reserve(2 * authority.size() + proxy.credentials.size() + 128);
  text += "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n";
  if (!proxy.credentials.empty()) {
    text += "Proxy-Authorization: Basic ";
    text += proxy.credentials.reveal();
    text += "\r\n";
  }
  return text += "\r\n";
}

ConnectAnswer::ConnectAnswer(const UpstreamProxy& proxy, std::string authority)
    : proxy_(proxy),
      authority_(std::move(authority)),
      reader_(Http1Reader::Role::responses, *this, limits()) {
  reader_.expect_response_to("CONNECT");
}

Result<size_t> ConnectAnswer::feed(std::string_view bytes) {
  auto consumed = reader_.feed(bytes);
  if (status_ / 100 > 2) return refused();
  if (!consumed)
    return error(Errc::invalid, "%s did not answer in proper HTTP/1.1", describe(proxy_).c_str());
  return consumed;
}

Result<void> ConnectAnswer::on_response(ResponseHead head, BodyLength /*length*/) {
  if (head.status / 100 == 1 && head.status != 101) return {};
  status_ = head.status;
  // Switching protocols was not asked for.
  if (status_ / 100 == 1) return error(Errc::invalid, "a 101");
  reader_.hold();
  return {};
}

Error ConnectAnswer::refused() const {
  const std::string who = describe(proxy_);
  // 401 is what some say, though it is an origin's word.
  const bool wants_password = status_ == 407 || status_ == 401;
  if (wants_password && proxy_.credentials.empty())
    return error(Errc::refused,
                 "%s wants a user and a password (%d); name it as http://USER:PASSWORD@%s",
                 who.c_str(), status_, proxy_.name().c_str());
  if (wants_password)
    return error(Errc::refused, "%s does not accept the user and password that it was given (%d)",
                 who.c_str(), status_);
  const std::string phrase = reason_phrase(status_);
  return error(status_ == 504 ? Errc::timeout : Errc::refused, "%s does not connect to %s: %d%s",
               who.c_str(), authority_.c_str(), status_,
               phrase == "Error" ? "" : (" " + phrase).c_str());
}

}  // namespace moat::proxy
