// TerminalStream: our end of a command's terminal, the master of a pair of the sandbox's.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "core/fd.h"
#include "core/loop.h"
#include "core/stream.h"
#include "runtime/engine.h"

namespace moat::runtime {

class TerminalStream final : private Stream::Handler {
 public:
  // Called from the loop; any of them may destroy us.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void on_terminal_output(std::string_view bytes) = 0;
    virtual void on_terminal_drained() = 0;  // takes input again
    // Nobody has it open any more, and all that was written to it has been given.
    virtual void on_terminal_end() = 0;
  };
  // `master` is non-blocking.
  TerminalStream(Loop& loop, Fd master, Observer& observer);

  void pause();
  void resume();
  // False: full; wait for on_terminal_drained.
  bool write(std::string_view bytes);
  void resize(TerminalSize size);

 private:
  void deliver();
  void on_input(Stream& stream) override;
  void on_end(Stream& stream) override;
  void on_drained(Stream& stream) override;
  void on_error(Stream& stream, const Error& error) override;

  Loop& loop_;
  Observer& observer_;
  Stream stream_;
  bool paused_ = false;
  bool over_ = false;  // for the kernel
  bool told_ = false;
  std::shared_ptr<char> life_ = std::make_shared<char>();
};

}  // namespace moat::runtime
