// What an Http1Reader told, as text that can be compared, however the bytes were cut.
#pragma once

#include <string>
#include <string_view>

#include "core/text.h"
#include "proxy/http1.h"

namespace moat::proxy {

struct Http1Log : Http1Handler {
  std::string text;
  bool in_body = false;

  void line(const std::string& more) {
    if (in_body) text += "\n";
    in_body = false;
    text += more + "\n";
  }
  static std::string show(BodyLength length) {
    switch (length.kind) {
      case BodyLength::Kind::none:
        return "none";
      case BodyLength::Kind::counted:
        return std::to_string(length.bytes);
      case BodyLength::Kind::chunked:
        return "chunked";
      case BodyLength::Kind::until_close:
        return "until close";
    }
    return "";
  }
  void fields(const char* mark, const Headers& headers) {
    for (const Header& header : headers) line(mark + header.name + "=" + header.value);
  }
  Result<void> on_request(RequestHead head, BodyLength length) override {
    line(head.method + " " + head.scheme + "|" + head.authority + "|" + head.path + " 1." +
         std::to_string(head.minor) + " " + show(length));
    fields(" ", head.headers);
    return {};
  }
  Result<void> on_response(ResponseHead head, BodyLength length) override {
    line(std::to_string(head.status) + " " + head.reason + " " + show(length));
    fields(" ", head.headers);
    return {};
  }
  Result<void> on_body(std::string_view bytes) override {
    if (!in_body) text += "body:";
    in_body = true;
    text += bytes;
    return {};
  }
  Result<void> on_trailers(Headers trailers) override {
    fields(" trailer ", trailers);
    return {};
  }
  Result<void> on_message_end() override {
    line("end");
    return {};
  }
};

// Feeds `bytes` up to each of `cuts` in turn, as a socket's buffer would, then the rest, then the
// end. The log ends with what became of it.
inline std::string read_in_pieces(Http1Reader& reader, Http1Log& log, std::string_view bytes,
                                  size_t piece_size, size_t first_size) {
  std::string waiting;
  size_t at = 0;
  size_t piece = first_size;
  while (at < bytes.size()) {
    waiting += bytes.substr(at, piece);
    at += std::min(piece, bytes.size() - at);
    piece = piece_size;
    const auto consumed = reader.feed(waiting);
    if (!consumed) {
      log.line(consumed.error().code == Errc::too_large ? "too large" : "invalid");
      return log.text;
    }
    waiting.erase(0, *consumed);
  }
  if (auto ok = reader.end(); !ok) {
    log.line("cut");
  } else if (!waiting.empty()) {
    log.line("left:" + waiting);
  }
  return log.text;
}

inline std::string read_messages(Http1Reader::Role role, std::string_view bytes,
                                 size_t piece_size = SIZE_MAX, size_t first_size = SIZE_MAX,
                                 std::string_view method = "GET", Http1Limits limits = {}) {
  Http1Log log;
  Http1Reader reader(role, log, limits);
  reader.expect_response_to(method);
  return read_in_pieces(reader, log, bytes, piece_size, first_size);
}

// The same whatever the cuts? One cut at each offset, and then every byte by itself.
inline bool same_however_cut(Http1Reader::Role role, std::string_view bytes,
                             std::string_view method = "GET") {
  const std::string whole = read_messages(role, bytes, SIZE_MAX, SIZE_MAX, method);
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    if (read_messages(role, bytes, SIZE_MAX, cut, method) != whole) return false;
  }
  return read_messages(role, bytes, 1, 1, method) == whole;
}

}  // namespace moat::proxy
