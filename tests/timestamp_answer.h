// Answers of time-stamping authorities, by hand: nothing in them is signed.
#pragma once

#include <string>
#include <string_view>

#include "core/text.h"

namespace moat::test {

inline std::string bytes(std::string_view digits) {
  return *from_hex(digits);
}

inline std::string element(int tag, const std::string& contents) {
  std::string size;
  if (contents.size() < 128) {
    size = static_cast<char>(contents.size());
  } else {
    size = "\x82";
    size += static_cast<char>(contents.size() >> 8);
    size += static_cast<char>(contents.size() & 0xff);
  }
  return static_cast<char>(tag) + size + contents;
}

inline std::string operator"" _sequence(const char* digits, size_t size) {
  return element(0x30, bytes({digits, size}));
}

// An answer of a time-stamping authority (RFC 3161), of which each part can be made wrong.
struct Answer {
  std::string status = element(0x30, bytes("020100"));
  std::string token_type = bytes("06092a864886f70d010702");
  std::string info_type = bytes("060b2a864886f70d0109100104");
  std::string version = bytes("020101");
  std::string policy = bytes("06042a030401");
  std::string algorithm = "06096086480165030402010500"_sequence;
  std::string imprint = std::string(32, 'i');
  std::string serial = bytes("020107");
  std::string time = element(0x18, "20231114221320.5Z");
  std::string more;  // accuracy, ordering
  std::string nonce = element(2, bytes("4142434445464748"));
  std::string end;  // the authority's name, extensions, and what is none
  std::string certificates;
  std::string signers = element(0x31, element(0x30, bytes("020101")));
  std::string after_info, after_octets, after_data, after_content, after_token, after;

  [[nodiscard]] std::string info() const {
    return element(0x30, version + policy + element(0x30, algorithm + element(4, imprint)) +
                             serial + time + more + nonce + end);
  }
  [[nodiscard]] std::string der() const {
    const std::string octets = element(4, info() + after_info);
    const std::string encapsulated =
        element(0x30, info_type + element(0xa0, octets + after_octets));
    const std::string data = element(0x30, bytes("020103") + element(0x31, "") + encapsulated +
                                               certificates + signers + after_data);
    const std::string token = element(0x30, token_type + element(0xa0, data + after_content));
    return element(0x30, status + token + after_token) + after;
  }
};

}  // namespace moat::test
