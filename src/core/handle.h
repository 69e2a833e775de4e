// Ownership of what C libraries hand out. There are two shapes, and no third.
#pragma once

#include <memory>

namespace moat {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};

// A pointer that the library hands out: Handle<CURL, curl_easy_cleanup>.
template <class T, auto Free>
using Handle = std::unique_ptr<T, Freer<Free>>;

// A struct that the library fills in: InPlace<mbedtls_x509_crt, mbedtls_x509_crt_init,
// mbedtls_x509_crt_free>. Other contexts keep its address, so it can neither be copied nor moved.
template <class T, auto Init, auto Free>
struct InPlace : T {
  InPlace() noexcept { Init(this); }
  ~InPlace() { Free(this); }
  InPlace(const InPlace&) = delete;
  InPlace& operator=(const InPlace&) = delete;
};

}  // namespace moat
