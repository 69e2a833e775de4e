#include "form_text.h"

#include <cctype>

#include "core/text.h"

namespace moat {

std::string form_encode(std::string_view text) {
  static const char* const digits = "0123456789ABCDEF";
  std::string out;
  out.reserve(3 * text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

std::string form_of(std::initializer_list<FormField> fields) {
  size_t most = 0;
  for (const auto& [name, value] : fields) most += name.size() + 3 * value.size() + 2;
  std::string form;
  form.reserve(most);
  for (const auto& [name, value] : fields) {
    if (value.empty()) continue;
    if (!form.empty()) form += '&';
    std::string encoded = form_encode(value);
    form.append(name).append("=").append(encoded);
    wipe(encoded);
  }
  return form;
}

Secret basic_header(std::string_view client_id, std::string_view client_secret) {
  std::string plain = form_encode(client_id) + ":";
  std::string secret = form_encode(client_secret);
  plain.reserve(plain.size() + secret.size());
  plain.append(secret);
  std::string encoded = base64(plain);
  std::string value;
  value.reserve(6 + encoded.size());
  value.append("Basic ").append(encoded);
  Secret header(value);
  for (std::string* text : {&plain, &secret, &encoded, &value}) wipe(*text);
  return header;
}

}  // namespace moat
