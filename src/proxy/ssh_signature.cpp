#include "proxy/ssh_signature.h"

#include <string>

#include "core/ssh_wire.h"
#include "core/text.h"
#include "proxy/crypto_library.h"

namespace moat::proxy {
namespace {

constexpr size_t least_rsa = 2048 / 8;
constexpr size_t largest_rsa = 16384 / 8;

// Of ASN.1's types (X.690 8).
enum Tag : char { integer = 0x02, bit_string = 0x03, sequence = 0x30 };

std::string der(Tag tag, std::string_view content) {
  std::string out(1, tag);
  const size_t size = content.size();
  if (size > 0xff) out += {'\x82', static_cast<char>(size >> 8)};
  if (size > 0x7f && size <= 0xff) out += '\x81';
  out += static_cast<char>(size & 0xff);
  return out.append(content);
}

// AlgorithmIdentifiers, whole: RFC 8410 3, RFC 5480 2.1.1 and RFC 3279 2.3.1.
constexpr std::string_view ed25519("\x30\x05\x06\x03\x2b\x65\x70", 7);
constexpr std::string_view p256(
    "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 21);
constexpr std::string_view p384(
    "\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22", 18);
constexpr std::string_view p521(
    "\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23", 18);
constexpr std::string_view rsa("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 15);

struct EcdsaCurve {
  std::string_view type, name, algorithm;
  size_t point;  // bytes of one, uncompressed
  decltype(&EVP_sha256) CryptoLibrary::*digest;
};
const EcdsaCurve curves[] = {
    {"ecdsa-sha2-nistp256", "nistp256", p256, 65, &CryptoLibrary::sha256},
    {"ecdsa-sha2-nistp384", "nistp384", p384, 97, &CryptoLibrary::sha384},
    {"ecdsa-sha2-nistp521", "nistp521", p521, 133, &CryptoLibrary::sha512},
};

// What libcrypto is asked.
struct Question {
  std::string key;        // SubjectPublicKeyInfo
  std::string signature;  // as libcrypto wants it
  const EVP_MD* digest = nullptr;
};

std::string key_info(std::string_view algorithm, std::string_view key) {
  return der(sequence, std::string(algorithm) + der(bit_string, std::string(1, '\0').append(key)));
}

// An mpint (RFC 4251 5) that is positive and has no byte too many is what an INTEGER holds.
bool is_positive(std::string_view number) {
  if (number.empty() || (number[0] & 0x80) != 0) return false;
  return number[0] != 0 || (number.size() > 1 && (number[1] & 0x80) != 0);
}

Error malformed(const char* what) {
  return error(Errc::invalid, "the %s is malformed", what);
}

Result<Question> ask_ed25519(SshReader& key, std::string_view type, SshReader& signature) {
  const std::string_view point = key.string();
  if (!key.done() || point.size() != 32) return malformed("key");
  const std::string_view algorithm = signature.string();
  const std::string_view bytes = signature.string();
  if (!signature.done() || algorithm != type || bytes.size() != 64) return malformed("signature");
  return Question{key_info(ed25519, point), std::string(bytes), nullptr};
}

Result<Question> ask_ecdsa(SshReader& key, const EcdsaCurve& curve, SshReader& signature) {
  const std::string_view name = key.string();
  const std::string_view point = key.string();
  if (!key.done() || name != curve.name || point.size() != curve.point || point[0] != 4)
    return malformed("key");
  const std::string_view algorithm = signature.string();
  SshReader numbers(signature.string());
  const std::string_view r = numbers.string();
  const std::string_view s = numbers.string();
  if (!signature.done() || algorithm != curve.type || !numbers.done() || !is_positive(r) ||
      !is_positive(s) || r.size() > curve.point || s.size() > curve.point)
    return malformed("signature");
  return Question{key_info(curve.algorithm, point),
                  der(sequence, der(integer, r) + der(integer, s)), (crypto().*curve.digest)()};
}

Result<Question> ask_rsa(SshReader& key, SshReader& signature) {
  const std::string_view exponent = key.string();
  const std::string_view modulus = key.string();
  if (!key.done() || !is_positive(exponent) || !is_positive(modulus) || exponent.size() > 8)
    return malformed("key");
  const size_t size = modulus.size() - (modulus[0] == 0 ? 1 : 0);
  if (size < least_rsa || size > largest_rsa)
    return error(Errc::unsupported, "an RSA key of %zu bits is not accepted", size * 8);
  const std::string_view algorithm = signature.string();
  const std::string_view bytes = signature.string();
  const bool known = algorithm == "rsa-sha2-256" || algorithm == "rsa-sha2-512";
  if (signature.done() && !known)
    return error(Errc::unsupported, "signatures of the kind %s are not accepted",
                 printable(algorithm.substr(0, 64)).c_str());
  if (!signature.done() || bytes.size() > size) return malformed("signature");
  // Some leave out zeros in front.
  std::string padded(size - bytes.size(), '\0');
  return Question{key_info(rsa, der(sequence, der(integer, modulus) + der(integer, exponent))),
                  padded.append(bytes),
                  algorithm == "rsa-sha2-256" ? crypto().sha256() : crypto().sha512()};
}

Result<Question> question_of(std::string_view key, std::string_view signature) {
  SshReader of_key(key);
  SshReader of_signature(signature);
  const std::string_view type = of_key.string();
  if (type == "ssh-ed25519") return ask_ed25519(of_key, type, of_signature);
  if (type == "ssh-rsa") return ask_rsa(of_key, of_signature);
  for (const EcdsaCurve& curve : curves) {
    if (type == curve.type) return ask_ecdsa(of_key, curve, of_signature);
  }
  if (ssh_type(key).empty()) return malformed("key");
  return error(Errc::unsupported, "keys of the type %s are not verified", ssh_type(key).c_str());
}

}  // namespace

Result<void> verify_ssh_signature(std::string_view key, std::string_view message,
                                  std::string_view signature) {
  if (auto loaded = load_crypto(); !loaded) return loaded;
  const auto question = question_of(key, signature);
  if (!question) return question.error();
  const auto* der = reinterpret_cast<const unsigned char*>(question->key.data());
  const EvpKey parsed(
      crypto().key_from_der(nullptr, &der, static_cast<long>(question->key.size())));
  if (!parsed) return malformed("key");
  const DigestContext context(crypto().digest_ctx_new());
  if (!context ||
      crypto().verify_init(context.get(), nullptr, question->digest, nullptr, parsed.get()) != 1)
    return error(Errc::io, "libcrypto cannot verify the signature");
  const bool right =
      crypto().verify(context.get(),
                      reinterpret_cast<const unsigned char*>(question->signature.data()),
                      question->signature.size(),
                      reinterpret_cast<const unsigned char*>(message.data()), message.size()) == 1;
  if (!right) return error(Errc::tampered, "the signature is not one of this key's");
  return {};
}

}  // namespace moat::proxy
