#include "log_tail.h"

#include <algorithm>

namespace moat {
namespace {

size_t index_of(const store::LogLine& piece) {
  return piece.stream == 2 ? 1 : 0;
}

}  // namespace

void LogTail::look_at(const store::LogLine& piece) {
  if (full_ && ++past_ > most_past) return close(piece.seq + 1);
  Stream& stream = streams_[index_of(piece)];
  if (stream.from) return;
  if (!stream.seen || piece.bytes.ends_with('\n')) {
    if (left_ == 0) return fill(stream, piece.seq + 1);
    --left_;
  }
  stream.seen = true;
}

bool LogTail::has(const store::LogLine& piece) const {
  return piece.seq >= streams_[index_of(piece)].from.value_or(0);
}

uint64_t LogTail::begin() const {
  return std::min(streams_[0].from.value_or(0), streams_[1].from.value_or(0));
}

// All lines are found. The other stream may be in the middle of one of them.
void LogTail::fill(Stream& stream, uint64_t next) {
  full_ = true;
  stream.from = next;
  for (Stream& other : streams_) {
    if (!other.seen && !other.from) other.from = next;
  }
}

void LogTail::close(uint64_t next) {
  for (Stream& stream : streams_) {
    if (!stream.from) stream.from = next;
  }
}

}  // namespace moat
