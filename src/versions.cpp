#include "versions.h"

#include <cjson/cJSON.h>
#include <event2/event.h>
#include <lmdb.h>
#include <mbedtls/version.h>
#include <nghttp2/nghttp2.h>
#include <yaml.h>
#include <zlib.h>

#include "core/text.h"

namespace moat {

Json library_versions() {
  const unsigned mbedtls = mbedtls_version_get_number();  // 0xMMNNPP00
  Json versions = Json::object();
  versions.set("cjson", cJSON_Version())
      .set("libevent", event_get_version())
      .set("libyaml", yaml_get_version_string())
      .set("lmdb",
           [] {
             int major = 0;
             int minor = 0;
             int patch = 0;
             mdb_version(&major, &minor, &patch);
             return format("%d.%d.%d", major, minor, patch);
           }())
      .set("mbedtls", format("%u.%u.%u", mbedtls >> 24, mbedtls >> 16 & 0xff, mbedtls >> 8 & 0xff))
      .set("nghttp2", nghttp2_version(0)->version_str)
      .set("zlib", zlibVersion());
  return versions;
}

}  // namespace moat
