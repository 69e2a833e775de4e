// What an HTTP message is, whatever the version that carried it (RFC 9110).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moat::proxy {

struct Header {
  std::string name;   // as it came: HTTP/1 case is kept
  std::string value;  // without surrounding white space
};
// In the order in which they came, duplicates included.
using Headers = std::vector<Header>;

// Names are compared without case. find(): the first of that name, or nullptr.
const Header* find(const Headers& headers, std::string_view name);
size_t count(const Headers& headers, std::string_view name);
size_t remove_all(Headers& headers, std::string_view name);  // how many
// Replaces the first in its place and removes the others; appends where there was none.
void set(Headers& headers, std::string_view name, std::string_view value);
// Is `token` in the comma-separated list that all headers of this name make?
bool has_token(const Headers& headers, std::string_view name, std::string_view token);

struct RequestHead {
  std::string method;
  std::string scheme;     // "http", "https"; of the connection, or of an absolute-form target
  std::string authority;  // Host, :authority or CONNECT target, as sent
  std::string path;       // with its query; "*" for OPTIONS *; empty for CONNECT
  Headers headers;        // "Host" not among them: it is `authority`
  int major = 1;
  int minor = 1;
  size_t host_index = 0;           // where Host stood among the headers, to put it back there
  std::string host_name = "Host";  // as it was spelled
};

struct ResponseHead {
  int status = 0;
  std::string reason;
  Headers headers;
  int major = 1;
  int minor = 1;
};

// How long a message's body is, by RFC 9112 section 6.3.
struct BodyLength {
  enum class Kind { none, counted, chunked, until_close };
  Kind kind = Kind::none;
  uint64_t bytes = 0;  // when counted
};

}  // namespace moat::proxy
