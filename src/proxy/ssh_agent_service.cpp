#include "proxy/ssh_agent_service.h"

#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <utility>

#include "core/ssh_wire.h"
#include "core/stream.h"
#include "proxy/ssh_agent_client.h"

namespace moat::proxy {
namespace {

constexpr int most_in_a_turn = 32;
constexpr Milliseconds without_descriptors{100};
constexpr Milliseconds to_take_a_binding{10'000};

}  // namespace

// One client. It is served one request at a time; what it sends meanwhile stays in its stream, and
// then in the kernel.
class SshAgentService::Connection : private Stream::Handler {
 public:
  Connection(SshAgentService& service, Fd fd)
      : service_(service),
        session_(service.policy_),
        stream_(service.loop_, std::move(fd), *this,
                Stream::Limits{service.limits_.message_bytes + 4, 64 * 1024}) {}

 private:
  using Verdict = SshAgentSession::Verdict;

  void on_input(Stream& /*stream*/) override { serve(); }
  void on_drained(Stream& /*stream*/) override { serve(); }
  void on_end(Stream& /*stream*/) override {
    ended_ = true;
    serve();
  }
  void on_error(Stream& /*stream*/, const Error& /*error*/) override { close(); }

  void serve() {
    while (!waiting_ && !over_ && !stream_.full()) {
      SshReader reader(stream_.input());
      const uint32_t size = reader.number();
      if (reader.good() && size > service_.limits_.message_bytes) {
        SshUse use;
        use.reason = "a request is longer than it may be";
        tell_refused(use);
        return close();
      }
      if (!reader.good() || stream_.input().size() < 4 + size_t{size}) {
        if (ended_) close();
        return;
      }
      const std::string message(stream_.input().substr(4, size));
      stream_.consume(4 + size_t{size});
      take(message);
    }
  }

  void take(const std::string& message) {
    Verdict verdict = session_.judge(message);
    switch (verdict.kind) {
      case Verdict::Kind::answer:
        return answer(verdict.answer);
      case Verdict::Kind::refuse:
        tell_refused(verdict.use);
        return answer(verdict.answer);
      case Verdict::Kind::sign:
        break;
    }
    pending_ = std::move(verdict);
    if (auto recording = service_.observer_.recording(); !recording)
      return refuse("what happens cannot be recorded: " + recording.error().message);
    begin_signing(message);
  }

  // By a connection of its own to the host's agent, which is told of the binding first: keys may be
  // held there for some hosts only (ssh-add -h).
  void begin_signing(const std::string& message) {
    auto agent = SshAgentClient::connect(service_.loop_, pending_.grant->agent);
    if (!agent) return refuse("the agent that has the key is not there: " + agent.error().message);
    agent_ = std::move(*agent);
    waiting_ = true;
    if (session_.binding().empty()) return ask_for_signature(message);
    agent_->ask(session_.binding(), to_take_a_binding,
                [this, message](const Result<std::string>& answer) {
                  // Whatever the answer is: an agent without such rules does not know the request.
                  if (!answer) return end_signing(answer);
                  ask_for_signature(message);
                });
  }

  void ask_for_signature(const std::string& message) {
    agent_->ask(message, service_.limits_.signing,
                [this](const Result<std::string>& answer) { end_signing(answer); });
  }

  void end_signing(const Result<std::string>& answer) {
    // Not from here: it is the one that calls us.
    service_.loop_.defer([agent = std::shared_ptr<SshAgentClient>(std::move(agent_))] {});
    waiting_ = false;
    if (!answer) {
      refuse("the agent that has the key has not signed: " + answer.error().message);
    } else if (*answer == ssh_agent_failure()) {
      refuse("the agent that has the key has not signed");
    } else if (!is_sign_response(*answer, pending_.algorithm)) {
      refuse("the agent that has the key has given something else than a signature");
    } else if (auto recorded = service_.observer_.on_ssh_signed(pending_.use); !recorded) {
      refuse("what happens cannot be recorded: " + recorded.error().message);
    } else {
      this->answer(*answer);
    }
    serve();
  }

  void refuse(std::string reason) {
    pending_.use.reason = std::move(reason);
    tell_refused(pending_.use);
    answer(ssh_agent_failure());
  }

  void tell_refused(const SshUse& use) { service_.observer_.on_ssh_refused(use); }

  void answer(std::string_view message) {
    std::string framed;
    put_ssh_string(framed, message);
    stream_.write(framed);
  }

  void close() {
    if (over_) return;
    over_ = true;
    stream_.close();
    service_.loop_.defer([this, &service = service_, life = std::weak_ptr<char>(service_.life_)] {
      if (!life.expired()) service.forget(this);
    });
  }

  SshAgentService& service_;
  SshAgentSession session_;
  Verdict pending_;  // what is being signed
  std::unique_ptr<SshAgentClient> agent_;
  bool waiting_ = false;  // for it
  bool ended_ = false;    // the client's direction
  bool over_ = false;
  Stream stream_;
};

SshAgentService::SshAgentService(Loop& loop, SshAgentPolicy policy, Fd listener,
                                 SshAgentObserver& observer, SshAgentLimits limits)
    : loop_(loop),
      policy_(std::move(policy)),
      observer_(observer),
      limits_(limits),
      listener_(std::move(listener)),
      watch_(loop, listener_.get(), [this](Ready) { accept_some(); }),
      retry_(loop, [this] { update_wants(); }) {
  update_wants();
}

SshAgentService::~SshAgentService() = default;

void SshAgentService::accept_some() {
  for (int i = 0; i < most_in_a_turn && connections_.size() < limits_.connections; i++) {
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) {
      // More would only be said again at once: the backlog waits until some are closed.
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        retry_.start(without_descriptors);
      break;
    }
    connections_.push_back(std::make_unique<Connection>(*this, std::move(fd)));
  }
  update_wants();
}

void SshAgentService::forget(const Connection* connection) {
  connections_.remove_if([connection](const auto& one) { return one.get() == connection; });
  update_wants();
}

void SshAgentService::update_wants() {
  watch_.want(connections_.size() < limits_.connections && !retry_.running(), false);
}

}  // namespace moat::proxy
