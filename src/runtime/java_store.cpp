#include "runtime/java_store.h"

#include <cstdint>
#include <vector>

#include "core/crypto.h"
#include "core/text.h"

namespace moat::runtime {
namespace {

void put(std::string& out, uint64_t number, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>((number >> shift) & 0xff));
}

void put_text(std::string& out, std::string_view text) {
  put(out, text.size(), 2);
  out += text;
}

Result<std::vector<std::string>> certificates_in(std::string_view pem) {
  constexpr std::string_view begin = "-----BEGIN CERTIFICATE-----";
  constexpr std::string_view end = "-----END CERTIFICATE-----";
  std::vector<std::string> found;
  for (size_t at = pem.find(begin); at != std::string_view::npos; at = pem.find(begin, at)) {
    at += begin.size();
    const size_t until = pem.find(end, at);
    if (until == std::string_view::npos) return error(Errc::invalid, "a certificate has no end");
    std::string text;
    for (const char c : pem.substr(at, until - at))
      if (c != '\n' && c != '\r' && c != ' ') text.push_back(c);
    auto der = from_base64(text);
    if (!der) return der.error();
    found.push_back(std::move(*der));
    at = until;
  }
  return found;
}

// "changeit", as Java has it in memory (UTF-16), and the words that its authors chose.
std::string keyed() {
  std::string text;
  for (const char c : std::string_view("changeit")) {
    text.push_back('\0');
    text.push_back(c);
  }
  return text + "Mighty Aphrodite";
}

}  // namespace

Result<std::string> java_trust_store(std::string_view pem) {
  constexpr uint32_t magic = 0xfeedfeed, version = 2, trusted_certificate = 2;
  const auto certificates = certificates_in(pem);
  if (!certificates) return certificates.error();
  std::string store;
  put(store, magic, 4);
  put(store, version, 4);
  put(store, certificates->size(), 4);
  size_t number = 0;
  for (const std::string& der : *certificates) {
    put(store, trusted_certificate, 4);
    put_text(store, format("moat-%zu", number++));
    put(store, 0, 8);  // when it was added: nobody looks
    put_text(store, "X.509");
    put(store, der.size(), 4);
    store += der;
  }
  return store + sha1({keyed(), store});
}

}  // namespace moat::runtime
