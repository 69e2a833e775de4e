// The other end of a RecordLayer, written from the RFCs and on another library's AEADs: what it
// seals and opens says whether ours keeps to the format.
#pragma once

#include <psa/crypto.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "proxy/tls_record.h"

namespace moat::proxy {

inline std::array<unsigned char, 88> key_block() {
  std::array<unsigned char, 88> block{};
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<unsigned char>(i * 7 + 1);
  return block;
}

class RecordPeer {
 public:
  RecordPeer(RecordCipher cipher, const RecordKeys& of_the_other)
      : is_gcm_(cipher != RecordCipher::chacha20_poly1305),
        to_seal_(of_the_other.to_open),
        to_open_(of_the_other.to_seal) {
    if (psa_crypto_init() != PSA_SUCCESS) throw std::runtime_error("psa");
    key_size_ = cipher == RecordCipher::aes_128_gcm ? 16 : 32;
  }
  uint64_t sealed = 1;
  uint64_t opened = 1;

  // A record as RFC 5246 6.2.3.3, RFC 5288 3 and RFC 7905 2 have it. The explicit nonce may be
  // anything that does not repeat, and is no sequence number here.
  std::string seal(unsigned char type, std::string_view plain) {
    std::string explicit_nonce = is_gcm_ ? number(sealed ^ 0x5a5a000000000000) : "";
    std::string body(plain.size() + 16, '\0');
    const std::string nonce = nonce_of(to_seal_, explicit_nonce, sealed);
    const std::string additional = additional_of(sealed++, type, plain.size());
    size_t size = 0;
    const auto key = import(to_seal_);
    const auto status =
        psa_aead_encrypt(key, algorithm(), octets(nonce), nonce.size(), octets(additional),
                         additional.size(), octets(plain), plain.size(),
                         reinterpret_cast<unsigned char*>(body.data()), body.size(), &size);
    psa_destroy_key(key);
    if (status != PSA_SUCCESS || size != body.size()) throw std::runtime_error("seal");
    return framed(type, explicit_nonce + body);
  }
  // Takes one record off the front of `wire`. Its type, then its plain text; "" if it is not right.
  std::string open(std::string& wire) {
    const size_t nonce_size = is_gcm_ ? 8 : 0;
    if (wire.size() < 5) return "";
    const size_t size =
        static_cast<unsigned char>(wire[3]) * 256U + static_cast<unsigned char>(wire[4]);
    if (wire.substr(1, 2) != "\x03\x03" || wire.size() < 5 + size || size < nonce_size + 16)
      return "";
    last_explicit_nonce = wire.substr(5, nonce_size);
    const std::string body = wire.substr(5 + nonce_size, size - nonce_size);
    const std::string nonce = nonce_of(to_open_, last_explicit_nonce, opened);
    const std::string additional =
        additional_of(opened++, static_cast<unsigned char>(wire[0]), body.size() - 16);
    std::string plain(body.size(), '\0');
    size_t count = 0;
    const auto key = import(to_open_);
    const auto status =
        psa_aead_decrypt(key, algorithm(), octets(nonce), nonce.size(), octets(additional),
                         additional.size(), octets(body), body.size(),
                         reinterpret_cast<unsigned char*>(plain.data()), plain.size(), &count);
    psa_destroy_key(key);
    if (status != PSA_SUCCESS) return "";
    const char type = wire[0];
    wire.erase(0, 5 + size);
    return type + plain.substr(0, count);
  }
  static std::string framed(unsigned char type, const std::string& body) {
    std::string record{static_cast<char>(type), '\x03', '\x03'};
    record += static_cast<char>(body.size() >> 8);
    record += static_cast<char>(body.size());
    return record + body;
  }
  static std::string number(uint64_t value) {
    std::string text;
    for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
    return text;
  }
  std::string last_explicit_nonce;

 private:
  static const unsigned char* octets(std::string_view bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
  }
  [[nodiscard]] psa_algorithm_t algorithm() const {
    return is_gcm_ ? PSA_ALG_GCM : PSA_ALG_CHACHA20_POLY1305;
  }
  [[nodiscard]] psa_key_id_t import(const RecordKeys::Direction& keys) const {
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attributes, is_gcm_ ? PSA_KEY_TYPE_AES : PSA_KEY_TYPE_CHACHA20);
    psa_set_key_algorithm(&attributes, algorithm());
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_ENCRYPT | PSA_KEY_USAGE_DECRYPT);
    psa_key_id_t key = 0;
    if (psa_import_key(&attributes, keys.key.data(), key_size_, &key) != PSA_SUCCESS)
      throw std::runtime_error("key");
    return key;
  }
  [[nodiscard]] std::string nonce_of(const RecordKeys::Direction& keys,
                                     const std::string& explicit_nonce, uint64_t sequence) const {
    std::string iv(reinterpret_cast<const char*>(keys.iv.data()), is_gcm_ ? 4 : 12);
    if (is_gcm_) return iv + explicit_nonce;
    const std::string padded = std::string(4, '\0') + number(sequence);
    for (size_t i = 0; i < iv.size(); ++i) iv[i] = static_cast<char>(iv[i] ^ padded[i]);
    return iv;
  }
  static std::string additional_of(uint64_t sequence, unsigned char type, size_t size) {
    std::string text = number(sequence) + static_cast<char>(type) + "\x03\x03";
    text += static_cast<char>(size >> 8);
    return text + static_cast<char>(size);
  }

  bool is_gcm_;
  size_t key_size_ = 0;
  RecordKeys::Direction to_seal_;
  RecordKeys::Direction to_open_;
};

}  // namespace moat::proxy
