// Stream: buffered bytes over one non-blocking socket or pipe, with limits both ways.
#pragma once

#include <sys/types.h>

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
    // input() holds as much as the limit and resumes when consume() makes room.
    virtual void on_input(Stream& stream) = 0;
    // In place of on_input() once read_in_place() was called: all that is unread, in a place where
    // it may be altered until this returns. Says how many bytes, from the front, are done with; the
    // others stay in input(), which is empty or of no use meanwhile.
    virtual size_t on_bytes(Stream& /*stream*/, char* /*bytes*/, size_t /*size*/) { return 0; }
    // The peer has ended its direction in good order; called once, after the last on_input.
    virtual void on_end(Stream& stream) = 0;
    // What was queued has fallen back to nothing after having been over the output limit, or a
    // connect that was under way has succeeded.
    virtual void on_drained(Stream& stream) = 0;
    // The connection has failed; nothing more will come or go. Called once.
    virtual void on_error(Stream& stream, const Error& error) = 0;
  };

  struct Limits {
    size_t input = 64 * 1024;    // bytes held unread by the owner
    size_t output = 256 * 1024;  // full() past this; the owner then stops feeding it
  };

  // Takes a non-blocking descriptor: a connected socket, one whose connect is under way, or the end
  // of a pipe. Reading starts at once.
  Stream(Loop& loop, Fd fd, Handler& handler, Limits limits);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] std::string_view input() const { return in_.view(); }
  // The same bytes, to be altered where they lie.
  [[nodiscard]] char* data() { return in_.data(); }
  void consume(size_t count);
  void read_in_place() { in_place_ = true; }

  // Queues, and writes at once what the kernel takes. Never fails: a failure comes by on_error,
  // from the loop, not from inside this call. No SIGPIPE.
  void write(std::string_view bytes);
  void write(Buffer& bytes);  // the same, and empties it; what has to wait is not copied
  [[nodiscard]] size_t queued() const { return out_.size(); }
  [[nodiscard]] bool full() const { return out_.size() > limits_.output; }

  void pause_reading();  // back-pressure by the owner; counts as one, however often called
  void resume_reading();
  // Half-close once everything queued is written; the writing end of a pipe is closed then. What
  // is written after this call is dropped.
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
  enum class Kind { socket, connecting, pipe_to_read, pipe_to_write };

  void on_ready(Ready ready);
  void read_some();
  void tell_bytes(char* bytes, size_t size);
  void write_some();
  ssize_t send_now(std::string_view bytes);
  size_t send_first(std::string_view bytes);
  void end_now();
  void update_wants();
  void fail(int error_number);
  void fail_later(int error_number);

  Loop& loop_;
  Handler& handler_;
  Limits limits_;
  Fd fd_;
  Kind kind_ = Kind::socket;
  std::optional<Watch> watch_;          // depends-on: fd_
  std::optional<Timer> failure_timer_;  // a failure met inside write(), to be told from the loop
  Buffer in_;
  Buffer out_;
  bool in_place_ = false;
  bool paused_ = false;
  bool ended_ = false;       // the peer's direction
  bool end_wanted_ = false;  // ours, once out_ is empty
  bool was_full_ = false;
  bool failing_ = false;
  bool* destroyed_ = nullptr;  // set while on_input runs, so that it may destroy us
  uint64_t bytes_read_ = 0;
  uint64_t bytes_written_ = 0;
};

}  // namespace moat
