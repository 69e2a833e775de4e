// DockerAttach: the hijacked connection that carries a container's stdin, stdout and stderr.
//
// An HTTP request whose response never ends: after the head, both directions are raw. libcurl knows
// no such thing, so this speaks its few lines of HTTP itself.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/loop.h"
#include "core/result.h"
#include "core/stream.h"
#include "runtime/docker_frames.h"
#include "runtime/engine.h"

namespace moat::runtime {

class DockerAttach : private Stream::Handler {
 public:
  // Called from the loop; any of them may destroy the DockerAttach. on_attach_failed is the end.
  struct Observer {
    virtual ~Observer() = default;
    virtual void on_attached() = 0;  // the engine holds the streams for us: start the container
    virtual void on_attach_output(OutputStream stream, std::string_view bytes) = 0;
    // After the last byte; or, before release(), when the last byte is held. Then it comes again.
    virtual void on_attach_end() = 0;
    virtual void on_attach_drained() = 0;
    virtual void on_attach_failed(const Error& error) = 0;
  };

  // `path` is that of the attach request, with version and query.
  static Result<std::unique_ptr<DockerAttach>> open(Loop& loop, const std::string& socket_path,
                                                    const std::string& path, Observer& observer);
  ~DockerAttach() override;
  DockerAttach(const DockerAttach&) = delete;
  DockerAttach& operator=(const DockerAttach&) = delete;

  // Output is held back until release(), and between pause() and resume().
  void release();
  void pause();
  void resume();
  // The container has ended. The engine waits two seconds for what it has not sent yet to be taken
  // from it, and forgets the rest; so all is read now, whoever has paused, and held here.
  void drain();

  bool write(std::string_view bytes);  // false: full, wait for on_attach_drained
  void end_writing();
  // What came on stderr and was not released yet, at most `limit` bytes.
  [[nodiscard]] std::string held_stderr(size_t limit) const;

  // Docker holds 1 MB for each of the two outputs, and each pipe and socket on the way has its 64
  // to 256 KiB: what comes after the container's end is less than this.
  static constexpr size_t max_held = 4 * 1024 * 1024;
  static constexpr size_t max_head = 16 * 1024;        // of the response
  static constexpr size_t max_error_body = 64 * 1024;  // of a response that is a refusal

 private:
  DockerAttach(Loop& loop, Fd fd, Fd twin, Observer& observer);

  void on_input(Stream& stream) override;
  void on_end(Stream& stream) override;
  void on_drained(Stream& stream) override;
  void on_error(Stream& stream, const Error& error) override;

  // False when the head is not whole yet, or was the end.
  bool read_head();
  [[nodiscard]] bool refused() const { return status_ != 0 && status_ != 101 && status_ != 200; }
  void refuse();
  void deliver();
  void fail(const Error& error);

  Loop& loop_;
  Observer& observer_;
  std::shared_ptr<const int> life_ = std::make_shared<const int>(0);
  DockerFrames frames_;
  // The same socket twice: a write that fails because nobody reads stdin any more must not end the
  // reading of what is still to come.
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Stream> stdin_;
  int status_ = 0;           // of the response; 0 until its head is read
  size_t refusal_size_ = 0;  // of a refusal's body
  bool released_ = false;
  bool paused_ = false;
  bool draining_ = false;
  bool ended_ = false;
  bool over_ = false;
};

}  // namespace moat::runtime
