// What SSH puts its messages and keys together from: the types of RFC 4251 section 5, and the shape
// of public keys (RFC 4253 6.6). Bytes in, bytes out; nothing here knows a secret.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace moat {

// Reads one value after the other. After the first that is not whole all others are zero or empty
// and good() is false, so it may be asked once, at the end.
class SshReader {
 public:
  explicit SshReader(std::string_view bytes) : rest_(bytes) {}

  uint8_t byte();
  bool boolean() { return byte() != 0; }
  uint32_t number();
  std::string_view string();  // of the bytes that it was given

  [[nodiscard]] bool good() const { return good_; }
  // Everything was whole, and there is no more.
  [[nodiscard]] bool done() const { return good_ && rest_.empty(); }

 private:
  std::string_view take(size_t count);

  std::string_view rest_;
  bool good_ = true;
};

void put_ssh_number(std::string& out, uint32_t number);
void put_ssh_string(std::string& out, std::string_view bytes);

// The name that a public key or a signature begins with: "ssh-ed25519"; "" where it has none.
std::string ssh_type(std::string_view blob);
// "SHA256:" and base64 without padding, as ssh-keygen(1) prints it.
std::string ssh_fingerprint(std::string_view key);

// A line of a .pub file or of `ssh-add -L`: type, key in base64, and a comment that may be missing.
struct SshPublicKey {
  std::string type;
  std::string blob;
  std::string comment;
};
Result<SshPublicKey> parse_ssh_public_key(std::string_view line);

}  // namespace moat
