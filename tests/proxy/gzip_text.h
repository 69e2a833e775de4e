// gzip for tests, with the choices that its writers have.
#pragma once

#include <zlib.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace moat::test {

// In one member; or a piece of one, to be ended with Z_FINISH.
class GzipWriter {
 public:
  explicit GzipWriter(int level = 6, int strategy = Z_DEFAULT_STRATEGY,
                      gz_header* header = nullptr) {
    if (deflateInit2(&stream_, level, Z_DEFLATED, 15 + 16, 8, strategy) != Z_OK)
      throw std::runtime_error("deflateInit2");
    if (header != nullptr) deflateSetHeader(&stream_, header);
  }
  ~GzipWriter() { deflateEnd(&stream_); }
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;

  std::string write(std::string_view text, int flush) {
    std::string out;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream_.avail_in = static_cast<uInt>(text.size());
    do {
      char piece[4096];
      stream_.next_out = reinterpret_cast<Bytef*>(piece);
      stream_.avail_out = sizeof piece;
      deflate(&stream_, flush);
      out.append(piece, sizeof piece - stream_.avail_out);
    } while (stream_.avail_out == 0);
    return out;
  }

 private:
  z_stream stream_{};
};

inline std::string gzip(std::string_view text, int level = 6, int strategy = Z_DEFAULT_STRATEGY) {
  return GzipWriter(level, strategy).write(text, Z_FINISH);
}

// As much of all members' text as there is; `code` is how the last of them ended.
inline std::string gunzip_some(std::string_view bytes, int& code) {
  std::string out;
  code = Z_STREAM_END;
  while (!bytes.empty() && code == Z_STREAM_END) {
    z_stream stream{};
    inflateInit2(&stream, 15 + 16);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    code = Z_OK;
    while (code == Z_OK) {
      char piece[4096];
      stream.next_out = reinterpret_cast<Bytef*>(piece);
      stream.avail_out = sizeof piece;
      code = inflate(&stream, Z_NO_FLUSH);
      out.append(piece, sizeof piece - stream.avail_out);
    }
    bytes = bytes.substr(bytes.size() - stream.avail_in);
    inflateEnd(&stream);
  }
  return out;
}

// All members' text; what is there of it, if `whole` is false. Throws where it is damaged.
inline std::string gunzip(std::string_view bytes, bool whole = true) {
  int code = Z_OK;
  std::string out = gunzip_some(bytes, code);
  if (code != Z_STREAM_END && (whole || code != Z_BUF_ERROR))
    throw std::runtime_error("this is no gzip");
  return out;
}

}  // namespace moat::test
