#include "proxy/ssh_agent_client.h"

#include <utility>

#include "core/ssh_wire.h"
#include "core/unix_socket.h"

namespace moat::proxy {
namespace {

constexpr size_t longest_answer = 256 * 1024;  // as OpenSSH's own clients take it

}  // namespace

Result<std::unique_ptr<SshAgentClient>> SshAgentClient::connect(Loop& loop,
                                                                const std::string& path) {
  auto fd = connect_unix_now(path);
  if (!fd) return fd.error();
  return std::unique_ptr<SshAgentClient>(new SshAgentClient(loop, std::move(*fd)));
}

SshAgentClient::SshAgentClient(Loop& loop, Fd fd)
    : deadline_(loop,
                [this] { finish(error(Errc::timeout, "the agent does not answer in time")); }),
      stream_(loop, std::move(fd), *this, Stream::Limits{longest_answer + 4, longest_answer}) {}

void SshAgentClient::ask(std::string_view message, Milliseconds limit, Done done) {
  done_ = std::move(done);
  deadline_.start(limit);
  std::string framed;
  put_ssh_string(framed, message);
  stream_.write(framed);
}

void SshAgentClient::on_input(Stream& stream) {
  SshReader reader(stream.input());
  const uint32_t size = reader.number();
  if (!reader.good()) return;
  if (size > longest_answer)
    return finish(error(Errc::too_large, "the agent's answer is of %u bytes", size));
  if (stream.input().size() < 4 + size_t{size}) return;
  std::string answer(stream.input().substr(4, size));
  stream.consume(4 + size);
  if (!done_) return finish(error(Errc::invalid, "the agent answers what it was not asked"));
  finish(answer);
}

void SshAgentClient::on_end(Stream& /*stream*/) {
  finish(error(Errc::closed, "the agent has closed the connection"));
}

void SshAgentClient::on_error(Stream& /*stream*/, const Error& error) {
  finish(error.in("the agent's connection has failed"));
}

void SshAgentClient::finish(const Result<std::string>& answer) {
  deadline_.stop();
  if (!answer) stream_.close();
  // It may destroy us: nothing of ours is touched after it.
  if (const Done done = std::exchange(done_, nullptr)) done(answer);
}

}  // namespace moat::proxy
