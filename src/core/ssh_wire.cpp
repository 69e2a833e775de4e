#include "core/ssh_wire.h"

#include "core/crypto.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t longest_type = 64;  // RFC 4251 6
constexpr size_t largest_key = 16 * 1024;

std::string_view next_word(std::string_view& text) {
  text = trim(text);
  const size_t end = text.find_first_of(" \t");
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(word.size());
  return word;
}

}  // namespace

std::string_view SshReader::take(size_t count) {
  if (count > rest_.size()) {
    good_ = false;
    rest_ = {};
    return {};
  }
  const std::string_view taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

uint8_t SshReader::byte() {
  const std::string_view taken = take(1);
  return taken.empty() ? 0 : static_cast<uint8_t>(taken[0]);
}

uint32_t SshReader::number() {
  uint32_t number = 0;
  for (const char c : take(4)) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

std::string_view SshReader::string() {
  const uint32_t size = number();
  return take(size);
}

void put_ssh_number(std::string& out, uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(number >> shift & 0xff);
}

void put_ssh_string(std::string& out, std::string_view bytes) {
  put_ssh_number(out, static_cast<uint32_t>(bytes.size()));
  out += bytes;
}

std::string ssh_type(std::string_view blob) {
  SshReader reader(blob);
  const std::string_view type = reader.string();
  if (type.empty() || type.size() > longest_type) return "";
  for (const char c : type) {
    if (c <= ' ' || c > '~' || c == ',') return "";
  }
  return std::string(type);
}

std::string ssh_fingerprint(std::string_view key) {
  std::string text = base64(view(sha256(key)));
  while (!text.empty() && text.back() == '=') text.pop_back();
  return "SHA256:" + text;
}

Result<SshPublicKey> parse_ssh_public_key(std::string_view line) {
  SshPublicKey key;
  key.type = next_word(line);
  const auto blob = from_base64(next_word(line));
  key.comment = printable(trim(line));
  if (!blob || key.type.empty() || blob->size() > largest_key || ssh_type(*blob) != key.type)
    return error(Errc::invalid, "this is no public key of SSH's");
  key.blob = *blob;
  return key;
}

}  // namespace moat
