// GzipFilter: keeps secrets out of a body with Content-Encoding gzip (RFC 1952), as it streams.
//
// It looks first: what came leaves as it came, byte for byte, once its text is known to be clean up
// to a place where no secret may have begun. It leaves in whole deflate blocks, for the header of a
// block tells which characters occur in it and how often, and its copies tell what repeats: half a
// block would tell of the other half. Who flushes ends a block by that, so that event streams stay
// live. Where a secret is found, or a block is too long to wait for, or a flush ends in what may be
// the beginning of a secret, all that has not left yet is compressed anew, with every secret
// masked: the text before is clean, and what leaves from there on depends on clean text alone. The
// two parts join within one member, for not every client reads several.
//
// Headers are sent before this is known: a length cannot be, and whoever checks a digest of a body
// that was masked sees that it is not what the origin sent.
//
// Refused, for there secrets could hide, or the agent could take the part for the whole: members
// with a secret in their header, bytes behind the last member, a wrong checksum or length, an end
// in the middle. Memory is bounded: the most that waits, two windows, and one slice of text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "proxy/scrubber.h"

struct z_stream_s;

namespace moat::proxy {

class GzipFilter {
 public:
  // `patterns` outlives the filter.
  explicit GzipFilter(const ScrubPatterns& patterns);
  ~GzipFilter();
  GzipFilter(const GzipFilter&) = delete;
  GzipFilter& operator=(const GzipFilter&) = delete;

  // From here on look for these, which take the place of the former.
  void learn(const ScrubPatterns& patterns) {
    patterns_ = &patterns;
    scrubber_->learn(patterns);
  }
  // More of the body. To be followed by step() until that returns false.
  void push(std::string_view bytes);
  // The body has ended: what step() does last is to close it.
  void end() { ended_ = true; }
  // Works for at most about 64 KiB of text, so that a bomb cannot stop the loop, and appends to
  // `out` what may leave. True: there is more to do. An error: what has left is all that may.
  Result<bool> step(std::string& out);

  [[nodiscard]] size_t hits() const { return scrubber_->hits(); }
  // Not any more what the origin sent.
  [[nodiscard]] bool altered() const { return deflate_ != nullptr; }

 private:
  enum class State { header, blocks, trailer };
  struct InflateEnd {
    void operator()(z_stream_s* stream) const noexcept;
  };
  struct DeflateEnd {
    void operator()(z_stream_s* stream) const noexcept;
  };
  struct Sum {  // of a member's text, as its trailer has them
    uint32_t crc = 0;
    uint32_t size = 0;
    void add(std::string_view text);
  };

  [[nodiscard]] std::string_view unread() const { return std::string_view(in_).substr(at_); }
  Result<bool> read_header(std::string& out);
  Result<bool> read_blocks(std::string& out);
  Result<bool> read_trailer(std::string& out);
  Result<void> take_text(std::string_view text, std::string& out);
  Result<bool> close(std::string& out);
  void block_ended(int data_type, std::string& out);
  void save(unsigned unused_bits, std::string& out);
  void release(size_t until, std::string& out);
  void compact();
  Result<void> rewrite();
  void compress(std::string_view text, int flush, std::string& out);

  const ScrubPatterns* patterns_;
  std::optional<Scrubber> scrubber_;
  State state_ = State::header;
  Sum sum_;
  std::unique_ptr<z_stream_s, InflateEnd> inflate_;
  std::unique_ptr<char[]> text_;  // a slice of it
  size_t block_text_ = 0;         // bytes of the block that is being read
  size_t budget_ = 0;             // of this step
  bool ended_ = false;
  bool over_ = false;

  std::string in_;   // as it came: [left_, at_) was read and waits, the rest was not read
  size_t left_ = 0;  // up to here it has left, or was dropped
  size_t at_ = 0;
  bool wanted_ = false;  // a secret was found, or waiting has become too much: rewrite from saved_

  // The place from which what has not left begins: the start of a block.
  struct Place {
    unsigned unused_bits = 0;  // of the byte at left_, which belong to the block
    size_t window_size = 0;
    Sum sum;
  };
  Place saved_;
  std::unique_ptr<char[]> window_;  // the text before it, to which copies may point
  bool window_stale_ = false;       // text has come since

  std::unique_ptr<z_stream_s, DeflateEnd> deflate_;  // once something is rewritten
  Sum written_;                                      // of the member that leaves
  bool unflushed_ = false;
};

}  // namespace moat::proxy
