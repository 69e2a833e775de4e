// What an SSH agent in a sandbox may be asked, and what it answers: the protocol of
// draft-ietf-sshm-ssh-agent with OpenSSH's session-bind@openssh.com (PROTOCOL.agent), no more of
// it than logging in at a granted host takes. Messages in, verdicts out; no socket, and no key.
//
// A client says first, by session-bind, which session it is about to log in to: the session's id
// with the host key's signature over it, which only that host can have made, and for this session
// only. From then on the connection is good for requests of userauth (RFC 4252 7) in that session
// and for nothing else. Who binds wrongly has no use of the connection any more.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace moat::proxy {

enum class SshAgentMessage : uint8_t {
  failure = 5,
  success = 6,
  request_identities = 11,
  identities_answer = 12,
  sign_request = 13,
  sign_response = 14,
  extension = 27,
};
constexpr uint32_t ssh_sign_sha256 = 2;  // flags of a sign request, for RSA
constexpr uint32_t ssh_sign_sha512 = 4;

// One key, for one host.
struct SshKeyGrant {
  std::string grant;                   // "ssh:github.com"
  std::string host;                    // "github.com", for the record
  std::string key;                     // public, as SSH writes it
  std::vector<std::string> host_keys;  // likewise: who has one of these is the host
  std::string agent;                   // absolute path of the socket of who signs
  // What authorities have certified the key with, likewise: each stands for the key.
  std::vector<std::string> certificates;
  bool only_certified = false;  // who signs knows the certificates alone

  // Is it the key, or one of the certificates?
  [[nodiscard]] bool offers(std::string_view blob) const;
};

struct SshAgentPolicy {
  std::vector<SshKeyGrant> grants;
  // Signs for clients that have not said which session they want, and so for any host.
  bool allow_unbound = false;
};

// What is told of a signature, made or refused. Fit to be shown.
struct SshUse {
  std::string grant;  // this and the next four: "" where it did not come to that
  std::string host;
  std::string key;          // fingerprint of the key that was to sign
  std::string certificate;  // its name, where one stands for the key
  std::string user;         // whom the client wants to be at the host
  bool bound = false;
  std::string reason;  // of a refusal, one sentence
};

class SshAgentSession {
 public:
  explicit SshAgentSession(const SshAgentPolicy& policy) : policy_(policy) {}

  struct Verdict {
    enum class Kind { answer, refuse, sign };
    Kind kind = Kind::answer;
    std::string answer;  // the message for the client; `sign`: none yet
    SshUse use;          // of `refuse` and `sign`
    // Of `sign`: by whom, and of what kind the signature has to be. The message that was judged is
    // then fit to be passed on as it is.
    const SshKeyGrant* grant = nullptr;
    std::string algorithm;
  };
  // A whole message, without its length.
  [[nodiscard]] Verdict judge(std::string_view message);

  // The client's session-bind as it came, once it was found good; "" before. For the agent that
  // signs, which may have such rules of its own.
  [[nodiscard]] const std::string& binding() const { return binding_; }

 private:
  struct SignRequest;
  Verdict list();
  Verdict extend(std::string_view message);
  Verdict bind(std::string_view body, std::string_view message);
  Verdict sign(std::string_view body);
  Verdict refuse(SshUse use, std::string reason) const;
  Verdict refuse_binding(std::string reason);
  // May this grant be used on this connection, as far as its host goes?
  [[nodiscard]] bool is_for_us(const SshKeyGrant& grant) const;

  const SshAgentPolicy& policy_;
  bool spoilt_ = false;  // a binding was refused
  std::string binding_;
  std::string host_key_;
  std::string session_;
};

std::string ssh_agent_failure();
// Is this message of an agent's a signature of the kind `algorithm`, and nothing else?
bool is_sign_response(std::string_view message, std::string_view algorithm);

}  // namespace moat::proxy
