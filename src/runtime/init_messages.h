// InitMessages: the bytes and descriptors that moat-init sends, taken apart. No socket. What comes
// is hostile; an error here ends the connection.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/fd.h"
#include "core/result.h"
#include "runtime/engine.h"
#include "runtime/init_protocol.h"

namespace moat::runtime {

// Numbers of the protocol, little-endian. The reader's caller has looked at the length.
uint16_t get_u16(std::string_view bytes, size_t at);
uint32_t get_u32(std::string_view bytes, size_t at);
void put_u32(std::string& bytes, uint32_t value);

struct InitMessage {
  uint8_t type = 0;
  std::string body;  // at most MOAT_INIT_MAX_REPLY
};

class InitMessages {
 public:
  // What one recvmsg(2) gave. The kernel does not tell to which byte of it the descriptors
  // belonged, only that it was one of these; so they wait in order for the message that needs them.
  Result<void> feed(std::string_view bytes, std::vector<Fd> fds);
  // The next whole message, or nothing yet.
  Result<std::optional<InitMessage>> next();
  // The oldest `count` descriptors.
  Result<std::vector<Fd>> take(size_t count);
  // To be asked when next() has given nothing: no descriptor may be left that no message wanted.
  [[nodiscard]] Result<void> settled() const;

 private:
  Buffer in_;
  std::deque<Fd> fds_;  // at most MOAT_INIT_MAX_FDS
};

// MOAT_MSG_LISTENERS with its descriptors, each checked; and made non-blocking.
Result<std::vector<SandboxListener>> parse_listeners(std::string_view body, std::vector<Fd> fds);
// MOAT_MSG_SEALED.
Result<SealProof> parse_proof(std::string_view body);
// MOAT_MSG_EXITED.
Result<ExitStatus> parse_exit(std::string_view body);

// Is `fd` a socket of the kind that a listener must be: listening TCP or unix, or bound UDP, of
// this family? The sandbox sent it, so it is asked, not believed.
Result<void> check_listener(int fd, SandboxListener::Kind kind, bool ipv6);

// Is it the master of a terminal?
Result<void> check_terminal(int fd);

}  // namespace moat::runtime
