// Stream: buffered bytes over one non-blocking socket or pipe, with limits both ways.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "core/buffer.h"
#include "core/fd.h"
#include "core/loop.h"

namespace moat {

// All callbacks may destroy the Stream, close it, or close it again.
class Stream {
 public:
  struct Handler {
    virtual ~Handler() = default;
    // input() has grown. What is left there unconsumed stays; reading pauses by itself while
    // input() holds `input_limit` bytes and resumes when consume() makes room.
    virtual void on_input(Stream& stream) = 0;
    // The peer has ended its direction in good order; called once, after the last on_input.
    virtual void on_end(Stream& stream) = 0;
    // output() has fallen back to nothing after having been over `output_limit`, or the socket
    // has become writable for the first time (a connect that succeeded: on_connected).
    virtual void on_drained(Stream& stream) = 0;
    // The connection has failed; nothing more will come or go. Called once.
    virtual void on_error(Stream& stream, const Error& error) = 0;
  };

  struct Limits {
    size_t input = 64 * 1024;    // bytes held unread by the owner
    size_t output = 256 * 1024;  // full() past this; the owner then stops feeding it
  };

  // Takes a connected, non-blocking descriptor (a pipe end will do). Reading starts at once.
  Stream(Loop& loop, Fd fd, Handler& handler, Limits limits);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] std::string_view input() const { return in_.view(); }
  void consume(size_t count);

  // Queues, and writes at once what the kernel takes. Never fails: a failure comes by on_error,
  // from the loop, not from inside this call. No SIGPIPE.
  void write(std::string_view bytes);
  [[nodiscard]] size_t queued() const { return out_.size(); }
  [[nodiscard]] bool full() const { return out_.size() > limits_.output; }

  void pause_reading();   // back-pressure by the owner; counts as one, however often called
  void resume_reading();
  // Half-close once everything queued is written.
  void end_writing();
  // Closes now; what is queued is lost. No callback comes after it. Safe to call twice.
  void close();
  // As close(), but with a TCP RST, so that the peer sees an error rather than an end.
  void reset();
  [[nodiscard]] bool closed() const { return !fd_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

  [[nodiscard]] uint64_t bytes_read() const { return bytes_read_; }
  [[nodiscard]] uint64_t bytes_written() const { return bytes_written_; }

 private:
  void on_ready(Ready ready);
  void read_some();
  void write_some();
  void update_wants();
  void fail(int error_number);

  Loop& loop_;
  Handler& handler_;
  Limits limits_;
  Fd fd_;
  std::optional<Watch> watch_;  // depends-on: fd_
  Buffer in_;
  Buffer out_;
  bool paused_ = false;
  bool ended_ = false;        // the peer's direction
  bool end_wanted_ = false;   // ours, once out_ is empty
  bool end_done_ = false;
  bool was_full_ = false;
  int pending_error_ = 0;     // met inside write(), told from the loop
  bool* destroyed_ = nullptr; // set while a callback runs, so that it may destroy us
  uint64_t bytes_read_ = 0;
  uint64_t bytes_written_ = 0;
};

}  // namespace moat
