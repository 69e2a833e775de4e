// What a client in the sandbox says to the SSH agent. Whatever it is, each message has one verdict;
// and what is to be signed is a login by the granted key, in the session that the connection is
// bound to, or unbound where that is allowed. The first byte says whether it is.
#include <cstdlib>
#include <string>
#include <string_view>

#include "../proxy/ssh_messages.h"
#include "core/ssh_certificate.h"
#include "known_hosts.h"
#include "ssh_tools.h"

using namespace moat;
using namespace moat::proxy;

namespace {

void check_sign(const SshAgentSession& session, const SshAgentPolicy& policy,
                const SshAgentSession::Verdict& verdict, std::string_view message) {
  if (verdict.grant == nullptr || !verdict.answer.empty()) abort();
  SshReader reader(message.substr(1));
  if (!verdict.grant->offers(reader.string())) abort();
  SshReader data(reader.string());
  const std::string_view session_id = data.string();
  if (data.byte() != 50 || !data.good()) abort();
  for (int i = 0; i < 3; ++i) (void)data.string();  // user, service, method
  (void)data.boolean();
  (void)data.string();
  if (!verdict.grant->offers(data.string())) abort();
  const bool bound = !session.binding().empty();
  if (bound != verdict.use.bound || (!bound && !policy.allow_unbound)) abort();
  if (bound && session.binding().find(session_id) == std::string::npos) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  static SshAgentPolicy policy = [] {
    SshAgentPolicy both = test::ssh_policy();
    both.grants[0].certificates = {test::ssh_certificate(both.grants[0].key, "me")};
    return both;
  }();
  policy.allow_unbound = (input[0] & 1) != 0;
  input.remove_prefix(1);
  (void)parse_identities(input);
  (void)parse_known_hosts(input, "git.example.com");
  (void)public_half(input);
  (void)parse_ssh_certificate(input);
  (void)is_sign_response(input, "ssh-ed25519");
  SshAgentSession session(policy);
  SshReader messages(input);
  for (;;) {
    const std::string_view message = messages.string();
    if (!messages.good()) return 0;
    const auto verdict = session.judge(message);
    switch (verdict.kind) {
      case SshAgentSession::Verdict::Kind::answer:
        if (verdict.answer.empty() || verdict.answer == ssh_agent_failure()) abort();
        break;
      case SshAgentSession::Verdict::Kind::refuse:
        if (verdict.answer != ssh_agent_failure() || verdict.use.reason.empty()) abort();
        break;
      case SshAgentSession::Verdict::Kind::sign:
        check_sign(session, policy, verdict, message);
        break;
    }
  }
}
