#include <algorithm>
#include <array>
#include <cstdio>

#include "core/text.h"
#include "proxy/http1.h"

namespace moat::proxy {
namespace {

// What came through the reader has none of these; what came from elsewhere must not make two
// lines of one.
void append_safe(std::string& out, std::string_view text) {
  const size_t start = out.size();
  out += text;
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(start), out.end(),
      [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  append_safe(out, name);
  out += ": ";
  append_safe(out, value);
  out += "\r\n";
}

// Enough for the fields, and the line before them.
size_t room_for(const Headers& headers) {
  size_t room = 128;
  for (const Header& header : headers) room += header.name.size() + header.value.size() + 4;
  return room;
}

void append_version(std::string& out, int minor) {
  out += minor >= 1 ? "HTTP/1.1" : "HTTP/1.0";
}

}  // namespace

std::string write_head(const RequestHead& head) {
  std::string out;
  out.reserve(room_for(head.headers) + head.path.size() + head.authority.size());
  append_safe(out, head.method);
  out += ' ';
  append_safe(out, head.method == "CONNECT" ? head.authority : head.path);
  out += ' ';
  append_version(out, head.minor);
  out += "\r\n";
  const size_t host_index = std::min(head.host_index, head.headers.size());
  for (size_t i = 0; i <= head.headers.size(); ++i) {
    if (i == host_index && !head.authority.empty())
      append_field(out, head.host_name, head.authority);
    if (i < head.headers.size()) append_field(out, head.headers[i].name, head.headers[i].value);
  }
  out += "\r\n";
  return out;
}

std::string write_head(const ResponseHead& head) {
  std::string out;
  out.reserve(room_for(head.headers) + head.reason.size());
  append_version(out, head.minor);
  out += format(" %03d ", head.status);
  append_safe(out, head.reason);
  out += "\r\n";
  for (const Header& header : head.headers) append_field(out, header.name, header.value);
  out += "\r\n";
  return out;
}

std::string chunk(std::string_view bytes) {
  if (bytes.empty()) return "";  // a chunk of no bytes would be the last
  char line[24];
  const int size = snprintf(line, sizeof line, "%zx\r\n", bytes.size());
  std::string out;
  out.reserve(static_cast<size_t>(size) + bytes.size() + 2);
  out.append(line, static_cast<size_t>(size));
  out += bytes;
  out += "\r\n";
  return out;
}

std::string last_chunk(const Headers& trailers) {
  std::string out = "0\r\n";
  for (const Header& trailer : trailers) append_field(out, trailer.name, trailer.value);
  out += "\r\n";
  return out;
}

bool is_token(std::string_view text) {
  static constexpr auto table = [] {
    std::array<bool, 256> allowed{};
    for (int c = '0'; c <= '9'; ++c) allowed[static_cast<size_t>(c)] = true;
    for (int c = 'A'; c <= 'Z'; ++c) allowed[static_cast<size_t>(c)] = true;
    for (int c = 'a'; c <= 'z'; ++c) allowed[static_cast<size_t>(c)] = true;
    for (const char c : std::string_view("!#$%&'*+-.^_`|~"))
      allowed[static_cast<unsigned char>(c)] = true;
    return allowed;
  }();
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char c) { return table[static_cast<unsigned char>(c)]; });
}

}  // namespace moat::proxy
