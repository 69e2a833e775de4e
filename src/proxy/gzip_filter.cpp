#include "proxy/gzip_filter.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/secret.h"
#include "proxy/zlib_memory.h"

namespace moat::proxy {
namespace {

constexpr size_t text_size = 32 * 1024;  // that is inflated at once
constexpr size_t slice = 64 * 1024;      // of text in one step
// What a block and its place cost beside its text, so that a body of nothing but blocks is as slow
// as it should be.
constexpr size_t block_cost = 512;
constexpr size_t save_cost = 4 * 1024;
// Compressed bytes that wait for the end of their block. zlib's own end after 16 Ki symbols, which
// are at most 64 KiB; the longest that are written commonly (libdeflate's) have 300 KB of text.
constexpr size_t most_waiting = 256 * 1024;
constexpr size_t most_header = 4 * 1024;
constexpr size_t window_size = 32 * 1024;

std::unique_ptr<z_stream> new_stream() {
  auto stream = std::make_unique<z_stream>();
  stream->zalloc = zlib_allocate;
  stream->zfree = zlib_release;
  return stream;
}

Bytef* bytef(const char* bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes));
}

unsigned byte_at(std::string_view bytes, size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}

uint32_t read_le32(std::string_view bytes) {
  return byte_at(bytes, 0) | byte_at(bytes, 1) << 8 | byte_at(bytes, 2) << 16 |
         byte_at(bytes, 3) << 24;
}

void append_le32(std::string& out, uint32_t value) {
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
}

// The size of a member's header (RFC 1952 2.3), or 0 while it is incomplete.
Result<size_t> header_size(std::string_view bytes) {
  enum : unsigned { has_crc = 2, has_extra = 4, has_name = 8, has_comment = 16, reserved = 0xe0 };
  constexpr std::string_view magic = "\x1f\x8b\x08";
  const size_t known = std::min(bytes.size(), magic.size());
  if (bytes.substr(0, known) != magic.substr(0, known))
    return error(Errc::invalid, "what should be gzip is not");
  if (bytes.size() < 10) return size_t{0};
  const unsigned flags = byte_at(bytes, 3);
  if ((flags & reserved) != 0) return error(Errc::invalid, "the gzip header has unknown flags");
  size_t at = 10;
  if ((flags & has_extra) != 0) {
    if (bytes.size() < at + 2) return size_t{0};
    at += 2 + (byte_at(bytes, at) | byte_at(bytes, at + 1) << 8);
  }
  for (const unsigned text : {has_name, has_comment}) {
    if ((flags & text) == 0) continue;
    const size_t end = bytes.find('\0', std::min(at, bytes.size()));
    if (end == std::string_view::npos) {
      at = bytes.size() + 1;
      break;
    }
    at = end + 1;
  }
  if ((flags & has_crc) != 0) at += 2;
  if (at > most_header && bytes.size() > most_header)
    return error(Errc::too_large, "the gzip header is larger than %zu bytes", most_header);
  return at <= bytes.size() ? at : size_t{0};
}

}  // namespace

void GzipFilter::InflateEnd::operator()(z_stream_s* stream) const noexcept {
  inflateEnd(stream);
  delete stream;
}

void GzipFilter::DeflateEnd::operator()(z_stream_s* stream) const noexcept {
  deflateEnd(stream);
  delete stream;
}

void GzipFilter::Sum::add(std::string_view text) {
  if (text.empty()) return;  // a null pointer would mean: begin anew
  crc = static_cast<uint32_t>(crc32_z(crc, bytef(text.data()), text.size()));
  size = static_cast<uint32_t>(size + text.size());
}

GzipFilter::GzipFilter(const ScrubPatterns& patterns)
    : patterns_(&patterns), text_(new char[text_size]), window_(new char[window_size]) {
  scrubber_.emplace(*patterns_);
  auto stream = new_stream();
  // Raw: headers and trailers are read here.
  if (inflateInit2(stream.get(), -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  inflate_.reset(stream.release());
}

GzipFilter::~GzipFilter() {
  wipe(text_.get(), text_size);
  wipe(window_.get(), window_size);
  wipe(in_);
}

void GzipFilter::push(std::string_view bytes) {
  in_.append(bytes);
}

Result<bool> GzipFilter::step(std::string& out) {
  if (over_) return false;
  budget_ = slice;
  bool more = true;
  while (more && budget_ > 0) {
    Result<bool> done = false;
    switch (state_) {
      case State::header:
        done = read_header(out);
        break;
      case State::blocks:
        done = read_blocks(out);
        break;
      case State::trailer:
        done = read_trailer(out);
        break;
    }
    if (!done) {
      over_ = true;
      return done;
    }
    more = *done;
    if (wanted_) {
      if (auto ok = rewrite(); !ok) return ok.error();
      more = true;
    }
  }
  if (altered()) left_ = at_;
  if (!more && ended_) {
    auto again = close(out);
    if (!again) over_ = true;
    return again;
  }
  if (!more && unflushed_) compress({}, Z_SYNC_FLUSH, out);
  compact();
  return more;
}

// Each of the three returns whether it came further.
Result<bool> GzipFilter::read_header(std::string& out) {
  if (unread().empty()) return false;
  const auto size = header_size(unread());
  if (!size) return size.error();
  if (*size == 0) return false;
  // What a name or a comment holds cannot be masked without a mark.
  size_t hits = 0;
  scrub(*patterns_, unread().substr(0, *size), &hits);
  if (hits > 0) return error(Errc::invalid, "the gzip header holds a credential");
  at_ += *size;
  state_ = State::blocks;
  sum_ = {};
  block_text_ = 0;
  inflateReset(inflate_.get());
  budget_ -= std::min(budget_, block_cost);
  if (!altered() && !scrubber_->open()) {
    window_stale_ = true;
    save(0, out);
  }
  return true;
}

Result<bool> GzipFilter::read_blocks(std::string& out) {
  const std::string_view bytes = unread();
  inflate_->next_in = bytef(bytes.data());
  inflate_->avail_in = static_cast<uInt>(bytes.size());
  inflate_->next_out = bytef(text_.get());
  inflate_->avail_out = static_cast<uInt>(std::min(text_size, budget_));
  const size_t room = inflate_->avail_out;
  const int code = inflate(inflate_.get(), Z_BLOCK);
  if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
    return error(Errc::invalid, "the gzip body is damaged");
  const size_t consumed = bytes.size() - inflate_->avail_in;
  const std::string_view text(text_.get(), room - inflate_->avail_out);
  const bool at_end_of_block = code != Z_BUF_ERROR && (inflate_->data_type & 128) != 0;
  at_ += consumed;
  budget_ -= std::min(budget_, text.size());
  if (auto ok = take_text(text, out); !ok) return ok.error();
  if (code == Z_STREAM_END) {
    state_ = State::trailer;
  } else if (at_end_of_block) {
    block_ended(inflate_->data_type, out);
  } else if (consumed == 0 && text.empty()) {
    if (!altered() && at_ - left_ > most_waiting) wanted_ = true;
    return false;
  }
  return true;
}

void GzipFilter::block_ended(int data_type, std::string& out) {
  const bool last = (data_type & 64) != 0;
  const bool flush = block_text_ == 0 && unread().empty();
  block_text_ = 0;
  budget_ -= std::min(budget_, block_cost);
  if (altered() || last || wanted_) return;
  if (!scrubber_->open()) {
    save(static_cast<unsigned>(data_type & 7), out);
  } else if (flush || at_ - left_ > most_waiting) {
    wanted_ = true;
  }
}

Result<bool> GzipFilter::read_trailer(std::string& out) {
  if (unread().size() < 8) return false;
  if (read_le32(unread()) != sum_.crc || read_le32(unread().substr(4)) != sum_.size)
    return error(Errc::invalid, "the gzip body does not match its checksum");
  at_ += 8;
  state_ = State::header;
  if (!altered() && !scrubber_->open()) release(at_, out);
  return true;
}

Result<void> GzipFilter::take_text(std::string_view text, std::string& out) {
  if (text.empty()) return {};
  sum_.add(text);
  block_text_ += text.size();
  window_stale_ = true;
  const std::string_view clean = scrubber_->feed(text);
  if (altered()) {
    compress(clean, Z_NO_FLUSH, out);
  } else if (scrubber_->hits() > 0) {
    wanted_ = true;
  }
  return {};
}

// What was not needed for a secret at the end of the body is as clean as the rest.
Result<bool> GzipFilter::close(std::string& out) {
  const bool whole = state_ == State::header && unread().empty();
  if (!whole) return error(Errc::closed, "the gzip body ends in the middle");
  const std::string_view clean = scrubber_->finish();
  if (altered()) {
    compress(clean, Z_FINISH, out);
    append_le32(out, written_.crc);
    append_le32(out, written_.size);
  } else if (scrubber_->hits() > 0) {
    if (auto ok = rewrite(); !ok) return ok.error();
    return true;
  } else {
    release(at_, out);
  }
  over_ = true;
  return false;
}

// Everything before the block that begins here may leave.
void GzipFilter::save(unsigned unused_bits, std::string& out) {
  release(at_ - (unused_bits > 0 ? 1 : 0), out);
  saved_.unused_bits = unused_bits;
  saved_.sum = sum_;
  if (!std::exchange(window_stale_, false)) return;
  uInt size = 0;
  inflateGetDictionary(inflate_.get(), bytef(window_.get()), &size);
  saved_.window_size = size;
  budget_ -= std::min(budget_, save_cost);
}

void GzipFilter::release(size_t until, std::string& out) {
  out.append(in_, left_, until - left_);
  left_ = until;
}

void GzipFilter::compact() {
  if (left_ == 0) return;
  in_.erase(0, left_);
  at_ -= left_;
  left_ = 0;
}

// Back to the saved place, from where on what leaves is compressed here.
Result<void> GzipFilter::rewrite() {
  wanted_ = false;
  auto stream = new_stream();
  // Quick, and small: 32 KiB each for its window and its tables. At the end of the saved block
  // there may be no history, so no window is set.
  if (deflateInit2(stream.get(), Z_BEST_SPEED, Z_DEFLATED, -13, 6, Z_DEFAULT_STRATEGY) != Z_OK)
    return error(Errc::full, "there is no memory to compress with");
  deflate_.reset(stream.release());
  at_ = left_;
  state_ = State::blocks;
  inflateReset(inflate_.get());
  if (saved_.window_size > 0)
    inflateSetDictionary(inflate_.get(), bytef(window_.get()),
                         static_cast<uInt>(saved_.window_size));
  if (const unsigned unused = saved_.unused_bits; unused > 0) {
    const unsigned byte = byte_at(in_, at_++);
    const unsigned used = 8 - unused;
    inflatePrime(inflate_.get(), static_cast<int>(unused), static_cast<int>(byte >> used));
    deflatePrime(deflate_.get(), static_cast<int>(used),
                 static_cast<int>(byte & ((1U << used) - 1)));
  }
  sum_ = written_ = saved_.sum;
  block_text_ = 0;
  scrubber_.emplace(*patterns_);
  unflushed_ = true;
  return {};
}

void GzipFilter::compress(std::string_view text, int flush, std::string& out) {
  written_.add(text);
  deflate_->next_in = bytef(text.data());
  deflate_->avail_in = static_cast<uInt>(text.size());
  unflushed_ = flush == Z_NO_FLUSH && (unflushed_ || !text.empty());
  char piece[8 * 1024];
  do {
    deflate_->next_out = bytef(piece);
    deflate_->avail_out = sizeof piece;
    deflate(deflate_.get(), flush);
    out.append(piece, sizeof piece - deflate_->avail_out);
  } while (deflate_->avail_out == 0);
}

}  // namespace moat::proxy
