// A ClientHello is read, refused or found incomplete, and more bytes never unsay the first two.
#include <cstdlib>
#include <string_view>

#include "proxy/client_hello.h"
#include "proxy/http1.h"

using namespace moat;
using namespace moat::proxy;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const FirstBytes whole = recognise(bytes);
  const FirstBytes half = recognise(bytes.substr(0, size / 2));
  if (half != FirstBytes::more && half != whole) abort();
  const auto hello = parse_client_hello(bytes);
  if (hello && !hello->server_name.empty()) {
    const auto name = parse_authority(hello->server_name);
    if (!name || name->host != hello->server_name) abort();
  }
  const auto part = parse_client_hello(bytes.substr(0, size / 2));
  if (part && (!hello || hello->server_name != part->server_name)) abort();
  if (!part && part.error().code != Errc::eof && hello) abort();
  return 0;
}
