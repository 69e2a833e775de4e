// Curve: multiplication on the elliptic curves of TLS's handshakes, by libcrypto. In constant time
// where a scalar is secret, and all that has held one is wiped.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "proxy/crypto_library.h"

namespace moat::proxy {

// A scalar or a point, as long as its curve has them; wiped when it goes.
struct CurveBytes {
  static constexpr size_t limit = 97;  // an uncompressed point of P-384
  unsigned char data[limit];
  size_t size = 0;

  CurveBytes() = default;
  CurveBytes(const CurveBytes&) = default;
  CurveBytes& operator=(const CurveBytes&) = default;
  ~CurveBytes();
  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(data), size};
  }
};

class Curve {
 public:
  // What a curve must compute before it is trusted; in hexadecimal, in the curve's own encoding:
  // scalars big-endian and points uncompressed (SEC 1, 2.3.3), X25519's as in RFC 7748 5.
  struct Known {
    int id;             // OpenSSL's NID
    size_t size;        // bytes of a scalar
    const char* a;      // a scalar
    const char* b;      // another; null for X25519, which does not add
    const char* a_G;    // a times the base point
    const char* b_G;    // another point
    const char* a_b_G;  // a times b_G
    const char* sum;    // b times the base point, plus a times b_G; null for X25519
  };
  static const Known p256;
  static const Known p384;
  static const Known x25519;

  // Null unless libcrypto can be loaded, has the curve, and all of `known` comes out.
  static std::optional<Curve> make(const Known& known);
  [[nodiscard]] size_t scalar_size() const { return size_; }
  [[nodiscard]] bool is_montgomery() const { return !group_; }
  // `scalar` times the base point, or times `point`. Null if libcrypto refuses: a point that is not
  // on the curve, a result that is no point. The scalar is secret, and from [1, order).
  [[nodiscard]] std::optional<CurveBytes> multiply(const CurveBytes& scalar) const;
  [[nodiscard]] std::optional<CurveBytes> multiply(const CurveBytes& scalar,
                                                   const CurveBytes& point) const;
  // `k` times the base point, plus `l` times `point`: what verifies an ECDSA signature, and public.
  [[nodiscard]] std::optional<CurveBytes> multiply_and_add(const CurveBytes& k, const CurveBytes& l,
                                                           const CurveBytes& point) const;

 private:
  Curve(int id, size_t size);
  [[nodiscard]] bool agrees(const Known& known) const;
  [[nodiscard]] std::optional<CurveBytes> combine(const CurveBytes* k, const CurveBytes* l,
                                                  const CurveBytes* point) const;
  [[nodiscard]] std::optional<CurveBytes> montgomery(const CurveBytes& scalar,
                                                     const CurveBytes* point) const;

  int id_;
  size_t size_;
  CurveGroup group_;  // null for X25519
};

}  // namespace moat::proxy
