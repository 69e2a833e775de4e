#include "proxy/dns.h"

#include <algorithm>

#include "core/text.h"

namespace moat::proxy {
namespace {

constexpr size_t header_size = 12;
constexpr uint16_t flag_response = 0x8000;
constexpr uint16_t flag_recursion_desired = 0x0100;
constexpr uint16_t flag_recursion_available = 0x0080;
constexpr uint16_t flag_checking_disabled = 0x0010;
constexpr uint16_t type_opt = 41;
constexpr uint16_t class_in = 1;
constexpr uint16_t our_udp_size = 1232;
// A client may forget a name within a minute: the address that it stands for never changes.
constexpr uint32_t time_to_live = 60;
constexpr uint16_t most_additional = 4;  // an OPT record, and whatever else comes along

// Reads forward only, and never past the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] size_t at() const { return at_; }
  [[nodiscard]] bool done() const { return at_ == bytes_.size(); }

  uint8_t u8() {
    const std::string_view piece = take(1);
    return piece.empty() ? 0 : static_cast<uint8_t>(piece[0]);
  }
  uint16_t u16() {
    const auto high = static_cast<uint16_t>(u8() << 8);
    return static_cast<uint16_t>(high | u8());
  }
  std::string_view take(size_t count) {
    if (failed_ || bytes_.size() - at_ < count) {
      failed_ = true;
      return {};
    }
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
  bool failed_ = false;
};

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

// A name without compression: there is nothing in a question that it could point to.
bool read_name(Reader& reader, std::string& name, bool& host_name) {
  host_name = true;
  const size_t start = reader.at();
  while (true) {
    const uint8_t length = reader.u8();
    if (reader.failed() || length > 63 || reader.at() - start + length > 255) return false;
    if (length == 0) break;
    const std::string_view label = reader.take(length);
    if (reader.failed()) return false;
    if (!name.empty()) name += '.';
    for (char c : label) {
      if (!is_host_character(c)) host_name = false;
      if (c == '.' || c == '\\') name += '\\';
      name += c;
    }
  }
  name = lower(name);
  if (name.empty()) host_name = false;
  return true;
}

// The additional section: at most one OPT, the rest is stepped over.
DnsCode read_additional(Reader& reader, uint16_t count, bool& edns) {
  for (uint16_t i = 0; i < count; i++) {
    std::string owner;
    bool host_name = false;
    if (!read_name(reader, owner, host_name)) return DnsCode::format_error;
    const uint16_t type = reader.u16();
    reader.u16();                         // class; for OPT the sender's UDP size
    reader.u8();                          // TTL; for OPT the high bits of the code,
    const uint8_t version = reader.u8();  // the version,
    reader.u16();                         // and flags
    reader.take(reader.u16());
    if (reader.failed()) return DnsCode::format_error;
    if (type != type_opt) continue;
    if (edns || !owner.empty()) return DnsCode::format_error;
    edns = true;
    if (version != 0) return DnsCode::bad_version;
  }
  return reader.done() ? DnsCode::no_error : DnsCode::format_error;
}

void put16(std::string& out, uint32_t value) {
  out += static_cast<char>((value >> 8) & 0xff);
  out += static_cast<char>(value & 0xff);
}

void put32(std::string& out, uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}

}  // namespace

std::optional<DnsQuery> parse_dns_query(std::string_view message) {
  if (message.size() < header_size) return std::nullopt;
  Reader reader(message);
  DnsQuery query;
  query.id = reader.u16();
  query.flags = reader.u16();
  if ((query.flags & flag_response) != 0) return std::nullopt;
  const uint16_t questions = reader.u16();
  const uint16_t answers = reader.u16();
  const uint16_t authorities = reader.u16();
  const uint16_t additional = reader.u16();
  const int opcode = (query.flags >> 11) & 0xf;
  if (opcode != 0) {
    query.code = DnsCode::not_implemented;
    return query;
  }
  query.code = DnsCode::format_error;
  if (questions != 1 || answers != 0 || authorities != 0 || additional > most_additional) {
    return query;
  }
  std::string name;
  bool host_name = false;
  if (!read_name(reader, name, host_name)) return query;
  query.type = reader.u16();
  query.klass = reader.u16();
  if (reader.failed()) return query;
  query.name = std::move(name);
  query.host_name = host_name;
  query.question = std::string(message.substr(header_size, reader.at() - header_size));
  query.code = read_additional(reader, additional, query.edns);
  return query;
}

std::string write_dns_answer(const DnsQuery& query, DnsCode code,
                             const std::vector<std::string>& addresses) {
  const auto value = static_cast<uint32_t>(code);
  std::string out;
  out.reserve(header_size + query.question.size() + addresses.size() * 28 + 11);
  put16(out, query.id);
  constexpr uint16_t echoed = 0x7800 | flag_recursion_desired | flag_checking_disabled;
  put16(out, flag_response | flag_recursion_available | (query.flags & echoed) | (value & 0xf));
  put16(out, query.question.empty() ? 0 : 1);
  put16(out, static_cast<uint32_t>(addresses.size()));
  put16(out, 0);
  put16(out, query.edns ? 1 : 0);
  out += query.question;
  for (const std::string& address : addresses) {
    put16(out, 0xc000 | header_size);  // the name in the question
    put16(out, address.size() == 4 ? dns_type_a : dns_type_aaaa);
    put16(out, class_in);
    put32(out, time_to_live);
    put16(out, static_cast<uint32_t>(address.size()));
    out += address;
  }
  if (query.edns) {
    out += '\0';
    put16(out, type_opt);
    put16(out, our_udp_size);
    put32(out, (value >> 4) << 24);
    put16(out, 0);
  }
  return out;
}

std::string dns_type_name(uint16_t type) {
  struct Name {
    uint16_t type;
    const char* name;
  };
  static constexpr Name names[] = {
      {1, "A"},   {2, "NS"},   {5, "CNAME"}, {6, "SOA"},  {12, "PTR"},
      {15, "MX"}, {16, "TXT"}, {28, "AAAA"}, {33, "SRV"}, {255, "ANY"},
  };
  for (const Name& entry : names) {
    if (entry.type == type) return entry.name;
  }
  return "TYPE" + std::to_string(type);
}

}  // namespace moat::proxy
