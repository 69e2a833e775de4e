#include "proxy/session_ids.h"

namespace moat::proxy {
namespace {

constexpr int64_t max_age_ns = 24 * 3600 * int64_t{1'000'000'000};  // as that of tickets
constexpr size_t id_size = 32;
constexpr size_t max_session = 512;  // serialised, without a ticket or a certificate: some 120

}  // namespace

size_t SessionIds::place_of(std::string_view id) {
  return (static_cast<unsigned char>(id[0]) * 256U + static_cast<unsigned char>(id[1])) % places;
}

int SessionIds::get(std::string_view id, mbedtls_ssl_session* session) const {
  if (id.size() != id_size) return 1;
  const Entry* entry = entries_[place_of(id)].get();
  if (entry == nullptr || entry->id != id || entry->name != name_ ||
      clock_.monotonic_ns() - entry->saved_ns > max_age_ns)
    return 1;
  const std::string_view bytes = entry->session.reveal();
  return mbedtls_ssl_session_load(session, reinterpret_cast<const unsigned char*>(bytes.data()),
                                  bytes.size());
}

int SessionIds::set(std::string_view id, const mbedtls_ssl_session* session) {
  if (id.size() != id_size) return 1;
  unsigned char bytes[max_session];
  size_t size = 0;
  const int rc = mbedtls_ssl_session_save(session, bytes, sizeof bytes, &size);
  if (rc != 0) return rc;
  auto entry = std::make_unique<Entry>();
  entry->id = id;
  entry->name = name_;
  entry->session = Secret({reinterpret_cast<const char*>(bytes), size});
  entry->saved_ns = clock_.monotonic_ns();
  entries_[place_of(id)] = std::move(entry);
  wipe(bytes, sizeof bytes);
  return 0;
}

}  // namespace moat::proxy
