// SshAgentClient: a connection to an SSH agent of the host's, which is asked one thing at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/loop.h"
#include "core/result.h"
#include "core/stream.h"

namespace moat::proxy {

class SshAgentClient : private Stream::Handler {
 public:
  // The answer's message, without its length.
  using Done = std::function<void(const Result<std::string>& answer)>;

  // `path` is absolute. Errc::busy where the agent has too many clients already.
  static Result<std::unique_ptr<SshAgentClient>> connect(Loop& loop, const std::string& path);
  // Says nothing to who waits.
  ~SshAgentClient() override = default;

  // Not before the last answer has come. `done` is called once, from the loop, and may destroy
  // this; after an error (Errc::timeout, closed, too_large) there are no more answers.
  void ask(std::string_view message, Milliseconds limit, Done done);

 private:
  SshAgentClient(Loop& loop, Fd fd);
  void on_input(Stream& stream) override;
  void on_end(Stream& stream) override;
  void on_drained(Stream& /*stream*/) override {}
  void on_error(Stream& stream, const Error& error) override;
  void finish(const Result<std::string>& answer);

  Timer deadline_;
  Done done_;
  Stream stream_;
};

}  // namespace moat::proxy
