#include "proxy/client_hello.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/text.h"
#include "proxy/http1.h"
#include "proxy/x509_write.h"

namespace moat::proxy {
namespace {

constexpr size_t max_hello = 32 * 1024;
constexpr size_t max_record = 16384;  // RFC 8446 5.1
constexpr size_t max_method = 20;     // the longest registered has 16: VERSION-CONTROL and kin
constexpr size_t max_protocols = 32;
constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

constexpr unsigned content_handshake = 22;
constexpr unsigned client_hello = 1;
constexpr unsigned extension_server_name = 0;  // RFC 6066 3
constexpr unsigned extension_alpn = 16;        // RFC 7301 3.1

// Takes numbers and vectors off the front of bytes. Past the end everything is empty and `good`
// is false, so that it need be asked once only.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] bool done() const { return good_ && bytes_.empty(); }

  std::string_view take(size_t count) {
    if (count > bytes_.size()) {
      good_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  unsigned number(size_t size) {
    unsigned value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  // As much as a number of `size` bytes before it says.
  std::string_view vector(size_t size) { return take(number(size)); }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

Error malformed(const char* what) {
  return error(Errc::invalid, "this is no ClientHello: %s", what);
}

// The handshake message, gathered from its records. Errc::eof while it is incomplete.
Result<std::string> gather(std::string_view bytes) {
  const Error more{Errc::eof, "the ClientHello is incomplete"};
  std::string message;
  while (true) {
    if (message.size() >= 4) {
      if (static_cast<unsigned char>(message[0]) != client_hello)
        return malformed("another handshake message");
      const size_t size = Reader(std::string_view(message).substr(1)).number(3) + size_t{4};
      if (size > max_hello)
        return error(Errc::too_large, "the ClientHello is larger than %zu bytes", max_hello);
      if (message.size() >= size) return message.substr(0, size);
    }
    if (bytes.size() < 5) return more;
    Reader record(bytes);
    const bool handshake = record.number(1) == content_handshake && record.number(1) == 3;
    record.number(1);  // the minor version, which middleboxes made meaningless
    const size_t size = record.number(2);
    if (!handshake || size == 0 || size > max_record) return malformed("no handshake record");
    // A part of a record will do to see that the rest is not wanted.
    const std::string_view body = bytes.substr(5, size);
    message += body;
    if (message.size() > max_hello)
      return error(Errc::too_large, "the ClientHello is larger than %zu bytes", max_hello);
    if (body.size() < size) {
      if (message.size() >= 4 && static_cast<unsigned char>(message[0]) != client_hello)
        return malformed("another handshake message");
      return more;
    }
    bytes.remove_prefix(5 + size);
  }
}

Result<std::string> read_server_name(std::string_view bytes) {
  Reader extension(bytes);
  Reader list(extension.vector(2));
  if (!extension.done() || list.empty()) return malformed("the server name is malformed");
  const unsigned kind = list.number(1);
  const std::string_view name = list.vector(2);
  if (!list.done() || kind != 0) return malformed("the server name is malformed");
  const auto host = parse_authority(name);
  if (!host || host->port || !ip_octets(host->host).empty())
    return error(Errc::invalid, "the ClientHello asks for a server that is no DNS name: '%s'",
                 printable(name.substr(0, 100)).c_str());
  return host->host;
}

Result<std::vector<std::string>> read_alpn(std::string_view bytes) {
  Reader extension(bytes);
  Reader list(extension.vector(2));
  if (!extension.done() || list.empty()) return malformed("the protocol list is malformed");
  std::vector<std::string> protocols;
  while (!list.empty()) {
    const std::string_view protocol = list.vector(1);
    if (!list.good() || protocol.empty() || protocols.size() == max_protocols)
      return malformed("the protocol list is malformed");
    protocols.emplace_back(protocol);
  }
  return protocols;
}

Result<ClientHello> read_extensions(std::string_view bytes) {
  ClientHello hello;
  bool named = false;
  bool negotiated = false;
  Reader extensions(bytes);
  while (!extensions.empty()) {
    const unsigned kind = extensions.number(2);
    const std::string_view body = extensions.vector(2);
    if (!extensions.good()) return malformed("an extension is cut short");
    if (kind == extension_server_name) {
      if (std::exchange(named, true)) return malformed("two server names");
      auto name = read_server_name(body);
      if (!name) return name.error();
      hello.server_name = std::move(*name);
    } else if (kind == extension_alpn) {
      if (std::exchange(negotiated, true)) return malformed("two protocol lists");
      auto alpn = read_alpn(body);
      if (!alpn) return alpn.error();
      hello.alpn = std::move(*alpn);
    }
  }
  return hello;
}

bool is_method_byte(char c) {
  return is_token({&c, 1});
}

}  // namespace

FirstBytes recognise(std::string_view bytes) {
  if (bytes.empty()) return FirstBytes::more;
  if (static_cast<unsigned char>(bytes[0]) == content_handshake) {
    if (bytes.size() == 1) return FirstBytes::more;
    return bytes[1] == 3 ? FirstBytes::tls : FirstBytes::other;
  }
  // The one empty line that may stand before a request (RFC 9112 2.2).
  if (bytes.substr(0, 2) == std::string_view("\r\n").substr(0, bytes.size())) {
    bytes.remove_prefix(std::min<size_t>(bytes.size(), 2));
    if (bytes.empty()) return FirstBytes::more;
  }
  if (bytes.substr(0, http2_preface.size()) == http2_preface.substr(0, bytes.size()))
    return bytes.size() >= http2_preface.size() ? FirstBytes::http2 : FirstBytes::more;
  const size_t size = std::min(bytes.size(), max_method + 1);
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] == ' ') return i > 0 ? FirstBytes::http : FirstBytes::other;
    if (!is_method_byte(bytes[i])) return FirstBytes::other;
  }
  return size > max_method ? FirstBytes::other : FirstBytes::more;
}

Result<ClientHello> parse_client_hello(std::string_view bytes) {
  const auto message = gather(bytes);
  if (!message) return message.error();
  Reader hello(std::string_view(*message).substr(4));
  hello.number(2);  // legacy_version
  hello.take(32);   // random
  const std::string_view session = hello.vector(1);
  const std::string_view suites = hello.vector(2);
  const std::string_view compressions = hello.vector(1);
  if (!hello.good() || session.size() > 32 || suites.empty() || suites.size() % 2 != 0 ||
      compressions.empty())
    return malformed("its fields are malformed");
  if (hello.empty()) return ClientHello{};  // TLS 1.2 may do without extensions
  const std::string_view extensions = hello.vector(2);
  if (!hello.done()) return malformed("its length is wrong");
  return read_extensions(extensions);
}

}  // namespace moat::proxy
