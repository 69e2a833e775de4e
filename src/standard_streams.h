// Our own stdin, stdout and stderr, used from the loop without ever blocking it, and without
// changing a flag of descriptors that we share with the shell that started us.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "core/buffer.h"
#include "core/fd.h"
#include "core/loop.h"

namespace moat {

// Where a stream of the command's goes on our side.
class Outlet {
 public:
  struct Handler {
    virtual ~Handler() = default;
    virtual void on_outlet_drained() = 0;  // empty again
    virtual void on_outlet_broken() = 0;   // nobody reads any more (EPIPE); told once
  };
  Outlet(Loop& loop, int fd, Handler& handler);

  // Queues what the other side does not take at once. What comes after on_outlet_broken is dropped.
  void write(std::string_view bytes);
  // The owner should stop feeding it until on_outlet_drained.
  [[nodiscard]] bool full() const { return queue_.size() > 256 * 1024; }
  [[nodiscard]] bool empty() const { return queue_.empty(); }

 private:
  enum class Kind {
    file,    // a write never waits for a reader
    pipe,    // pipe or terminal, by an open file description of our own, which is non-blocking
    socket,  // by send(MSG_DONTWAIT)
  };
  void flush();
  void tell_broken();

  Handler& handler_;
  Kind kind_ = Kind::file;
  int fd_;
  Fd own_;
  std::optional<Watch> watch_;  // depends-on: own_
  Timer later_;
  Buffer queue_;
  bool broken_ = false;
};

// Where the command's stdin comes from.
class Inlet {
 public:
  struct Handler {
    virtual ~Handler() = default;
    // False: full; the inlet waits for resume().
    virtual bool on_inlet(std::string_view bytes) = 0;
    virtual void on_inlet_end() = 0;  // told once
  };
  // Reads only when the descriptor says that it has something, a piece at a time, so that the read
  // does not block. A regular file, which always has, is read a piece each turn.
  Inlet(Loop& loop, int fd, Handler& handler);
  void resume();

 private:
  void read_some();

  int fd_;
  Handler& handler_;
  bool file_ = false;
  bool ended_ = false;
  std::optional<Watch> watch_;
  Timer next_;
};

}  // namespace moat
