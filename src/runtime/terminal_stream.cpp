#include "runtime/terminal_stream.h"

#include <sys/ioctl.h>

#include <utility>

namespace moat::runtime {

TerminalStream::TerminalStream(Loop& loop, Fd master, Observer& observer)
    : loop_(loop), observer_(observer), stream_(loop, std::move(master), *this, Stream::Limits{}) {}

void TerminalStream::pause() {
  paused_ = true;
  stream_.pause_reading();
}

void TerminalStream::resume() {
  if (!std::exchange(paused_, false)) return;
  stream_.resume_reading();
  // What was read before the pause is given from the loop, not from inside this call.
  loop_.defer([this, life = std::weak_ptr<char>(life_)] {
    if (!life.expired()) deliver();
  });
}

bool TerminalStream::write(std::string_view bytes) {
  if (over_) return true;  // as to a terminal that was hung up
  stream_.write(bytes);
  return !stream_.full();
}

void TerminalStream::resize(TerminalSize size) {
  winsize wanted{};
  wanted.ws_row = size.rows;
  wanted.ws_col = size.columns;
  if (!stream_.closed()) ioctl(stream_.fd(), TIOCSWINSZ, &wanted);
}

void TerminalStream::deliver() {
  const std::weak_ptr<char> life = life_;
  while (!paused_ && !stream_.input().empty()) {
    const auto bytes = stream_.input();
    const size_t size = bytes.size();
    observer_.on_terminal_output(bytes);
    if (life.expired()) return;
    stream_.consume(size);
  }
  if (over_ && stream_.input().empty() && !std::exchange(told_, true)) observer_.on_terminal_end();
}

void TerminalStream::on_input(Stream& /*stream*/) {
  deliver();
}

void TerminalStream::on_drained(Stream& /*stream*/) {
  observer_.on_terminal_drained();
}

void TerminalStream::on_end(Stream& /*stream*/) {
  over_ = true;
  deliver();
}

// EIO is the end of a terminal.
void TerminalStream::on_error(Stream& /*stream*/, const Error& /*error*/) {
  over_ = true;
  deliver();
}

}  // namespace moat::runtime
