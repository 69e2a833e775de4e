#include "proxy/gunzip.h"

#include <zlib.h>

#include "core/text.h"
#include "proxy/zlib_memory.h"

namespace moat::proxy {

Result<std::string> gunzip(std::string_view bytes, size_t most) {
  constexpr int gzip_only = 16 + MAX_WBITS;
  z_stream stream{};
  stream.zalloc = zlib_allocate;
  stream.zfree = zlib_release;
  if (inflateInit2(&stream, gzip_only) != Z_OK) return error(Errc::io, "no memory to decompress");
  std::string text(most + 1, '\0');  // whoever fills it has too much
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int status = inflate(&stream, Z_FINISH);
  const size_t size = text.size() - stream.avail_out;
  const bool whole = status == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  if (whole && size <= most) {
    text.resize(size);
    return text;
  }
  wipe(text);
  if (size > most) return error(Errc::too_large, "it is larger than %s", human_bytes(most).c_str());
  return error(Errc::invalid, "it is not one member of gzip");
}

}  // namespace moat::proxy
