// A PROXY protocol header is read or refused; its size is known from its first 16 bytes; nothing
// but the whole of it is one; and the name in it is a name.
#include <cstdlib>
#include <string_view>

#include "proxy/http1.h"
#include "proxy/proxy_v2.h"

using namespace moat;
using namespace moat::proxy;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto told = proxy_v2_size(bytes.substr(0, proxy_v2_prefix));
  const auto header = parse_proxy_v2(bytes);
  if (told && (*told < proxy_v2_prefix || *told > max_proxy_v2)) abort();
  if (!header) return 0;
  if (!told || *told != size) abort();
  if (parse_proxy_v2(bytes.substr(0, size - 1))) abort();
  if (header->local) return 0;
  if (header->destination.port() == 0 || header->destination.ip().empty()) abort();
  if (header->authority.empty()) return 0;
  const auto name = parse_authority(header->authority);
  if (!name || name->host != header->authority || name->port) abort();
  return 0;
}
