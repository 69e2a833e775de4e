#include "runtime/docker_attach.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/fetch.h"
#include "core/text.h"
#include "runtime/docker_request.h"

namespace moat::runtime {
namespace {

Result<Fd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return error(Errc::too_large, "the path of the Docker socket %s is too long", path.c_str());
  memcpy(address.sun_path, path.data(), path.size());
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("no socket for the container engine can be made");
  // On a unix socket this succeeds or fails at once; EAGAIN says that too many wait to be accepted.
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error("the container engine at %s cannot be reached", path.c_str());
  return fd;
}

// "HTTP/1.1 101 UPGRADED" to 101; 0 for anything else.
int status_of(std::string_view head) {
  const auto line = head.substr(0, head.find("\r\n"));
  const auto words = split(line, ' ');
  if (words.size() < 2 || (words[0] != "HTTP/1.1" && words[0] != "HTTP/1.0")) return 0;
  return static_cast<int>(parse_number(words[1], 100, 599).value_or(0));
}

// None is as good as nothing: what has come by then is all that is waited for.
size_t content_length(std::string_view head) {
  for (const auto line : split(head, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (equals_ignoring_case(line.substr(0, colon), "Content-Length"))
      return parse_number(trim(line.substr(colon + 1)), 0, DockerAttach::max_error_body)
          .value_or(DockerAttach::max_error_body);
  }
  return 0;
}

}  // namespace

Result<std::unique_ptr<DockerAttach>> DockerAttach::open(Loop& loop, const std::string& socket_path,
                                                         const std::string& path,
                                                         Observer& observer) {
  auto fd = connect_to(socket_path);
  if (!fd) return fd.error();
  Fd twin(fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
  if (!twin) return errno_error("the connection to the container engine cannot be set up");
  auto attach = std::unique_ptr<DockerAttach>(
      new DockerAttach(loop, std::move(*fd), std::move(twin), observer));
  attach->stream_->write("POST " + path +
                         " HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                         "Content-Length: 0\r\n\r\n");
  return attach;
}

DockerAttach::DockerAttach(Loop& loop, Fd fd, Fd twin, Observer& observer)
    : loop_(loop), observer_(observer) {
  Stream::Limits limits;
  limits.input = max_held;
  Stream::Handler& handler = *this;
  stream_ = std::make_unique<Stream>(loop, std::move(fd), handler, limits);
  stdin_ = std::make_unique<Stream>(loop, std::move(twin), handler, Stream::Limits{});
  stdin_->pause_reading();
}

DockerAttach::~DockerAttach() = default;

void DockerAttach::release() {
  released_ = true;
  deliver();
}

void DockerAttach::pause() {
  paused_ = true;
  if (!draining_) stream_->pause_reading();
}

void DockerAttach::resume() {
  if (!paused_) return;
  paused_ = false;
  stream_->resume_reading();
  // What was read before the pause is given from the loop, not from inside this call.
  loop_.defer([this, alive = std::weak_ptr<const int>(life_)] {
    if (!alive.expired()) deliver();
  });
}

void DockerAttach::drain() {
  draining_ = true;
  stream_->resume_reading();
}

bool DockerAttach::write(std::string_view bytes) {
  stdin_->write(bytes);
  return !stdin_->full();
}

void DockerAttach::end_writing() {
  stdin_->end_writing();
}

std::string DockerAttach::held_stderr(size_t limit) const {
  if (released_ || status_ == 0) return {};
  DockerFrames frames;
  std::string held;
  auto input = stream_->input();
  while (held.size() < limit) {
    const auto piece = frames.next(input);
    if (!piece || !*piece) break;
    if ((*piece)->stream == OutputStream::err)
      held.append((*piece)->bytes.substr(0, limit - held.size()));
  }
  return held;
}

void DockerAttach::on_input(Stream& /*stream*/) {
  if (over_) return;
  if (status_ == 0 && !read_head()) return;
  if (refused()) return refuse();
  deliver();
}

bool DockerAttach::read_head() {
  const auto input = stream_->input();
  const size_t end = input.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (input.size() > max_head)
      fail(error(Errc::invalid, "what answers on the Docker socket is no container engine"));
    return false;
  }
  const std::string head(input.substr(0, end + 2));
  stream_->consume(end + 4);
  status_ = status_of(head);
  if (status_ == 0) {
    fail(error(Errc::invalid, "what answers on the Docker socket is no container engine"));
    return false;
  }
  if (refused()) {
    refusal_size_ = content_length(head);
    return true;
  }
  const auto alive = std::weak_ptr<const int>(life_);
  observer_.on_attached();
  return !alive.expired() && !over_;
}

void DockerAttach::refuse() {
  if (stream_->input().size() < refusal_size_ && !ended_) return;
  FetchResponse response;
  response.status = status_;
  response.body = std::string(stream_->input().substr(0, refusal_size_));
  fail(docker_error("attach to the container", response));
}

void DockerAttach::deliver() {
  const auto alive = std::weak_ptr<const int>(life_);
  while (released_ && !paused_ && !over_) {
    const auto before = stream_->input();
    auto rest = before;
    const auto piece = frames_.next(rest);
    if (!piece) return fail(piece.error());
    if (!*piece) {
      stream_->consume(before.size() - rest.size());
      break;
    }
    const size_t used = before.size() - rest.size();
    observer_.on_attach_output((*piece)->stream, (*piece)->bytes);
    if (alive.expired() || over_) return;
    stream_->consume(used);
  }
  if (!ended_ || over_ || paused_ || (released_ && !stream_->input().empty())) return;
  if (released_ && !frames_.at_boundary())
    return fail(error(Errc::closed, "the container engine broke off the output"));
  over_ = released_;
  observer_.on_attach_end();
}

void DockerAttach::on_end(Stream& /*stream*/) {
  if (over_) return;
  ended_ = true;
  if (refused()) return refuse();
  if (status_ == 0)
    return fail(error(Errc::closed, "the container engine closed the connection unasked"));
  deliver();
}

void DockerAttach::on_drained(Stream& stream) {
  if (!over_ && &stream == stdin_.get()) observer_.on_attach_drained();
}

void DockerAttach::on_error(Stream& stream, const Error& /*error*/) {
  // A reset comes after all that was sent, and says that the engine closed with stdin of ours
  // unread. Whether that was the container's end is told by the engine's answer to the wait.
  if (&stream == stream_.get()) return on_end(stream);
  on_drained(stream);
}

void DockerAttach::fail(const Error& error) {
  if (over_) return;
  over_ = true;
  observer_.on_attach_failed(error);
}

}  // namespace moat::runtime
