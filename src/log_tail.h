// LogTail: where the last lines of a run's output begin, looked for from the end.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "store/record.h"

namespace moat {

// A line may be in several pieces, with some of the other stream's between them; what is open at
// the end counts as one.
class LogTail {
 public:
  // How many pieces before the last lines are looked through for the beginning of one of them.
  static constexpr uint64_t most_past = 4096;

  // Lines of both streams together.
  explicit LogTail(uint64_t count) : left_(count) {}

  // To be shown the pieces that are wanted, from the last to the first, until done().
  void look_at(const store::LogLine& piece);
  [[nodiscard]] bool done() const { return streams_[0].from && streams_[1].from; }

  // Is this piece of one of the last lines, or did it come later?
  [[nodiscard]] bool has(const store::LogLine& piece) const;
  // The first that may be.
  [[nodiscard]] uint64_t begin() const;

 private:
  struct Stream {
    bool seen = false;
    std::optional<uint64_t> from;
  };
  void fill(Stream& stream, uint64_t next);
  void close(uint64_t next);

  uint64_t left_;
  bool full_ = false;
  uint64_t past_ = 0;
  std::array<Stream, 2> streams_;  // stdout, stderr
};

}  // namespace moat
