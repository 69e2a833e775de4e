#include "proxy/ssh_agent.h"

#include <algorithm>
#include <utility>

#include "core/ssh_wire.h"
#include "core/text.h"
#include "proxy/ssh_signature.h"

namespace moat::proxy {
namespace {

using Kind = SshAgentSession::Verdict::Kind;

constexpr uint8_t userauth_request = 50;  // SSH_MSG_USERAUTH_REQUEST, RFC 4252 6
constexpr std::string_view bind_extension = "session-bind@openssh.com";
constexpr std::string_view publickey = "publickey";
constexpr std::string_view hostbound = "publickey-hostbound-v00@openssh.com";
constexpr size_t longest_session = 64;  // the longest digest in use
constexpr size_t longest_user = 255;

// What else clients ask of agents, by its number in section 6.1 of the draft.
struct Other {
  uint8_t number;
  const char* name;
};
constexpr Other others[] = {
    {17, "add a key"},
    {18, "remove a key"},
    {19, "remove all keys"},
    {20, "add the keys of a smartcard"},
    {21, "remove a smartcard"},
    {22, "lock the agent"},
    {23, "unlock the agent"},
    {25, "add a key with constraints"},
    {26, "add a smartcard's keys with constraints"},
};

std::string message_of(SshAgentMessage type) {
  return std::string(1, static_cast<char>(type));
}

bool is_rsa(std::string_view type) {
  return type == "ssh-rsa";
}

// Does the request name the kind of signature that its flags will bring about? SHA-1 is none.
bool fits(std::string_view algorithm, std::string_view key_type, uint32_t flags) {
  if (!is_rsa(key_type)) return algorithm == key_type && flags == 0;
  return (algorithm == "rsa-sha2-256" && flags == ssh_sign_sha256) ||
         (algorithm == "rsa-sha2-512" && flags == ssh_sign_sha512);
}

}  // namespace

std::string ssh_agent_failure() {
  return message_of(SshAgentMessage::failure);
}

bool is_sign_response(std::string_view message, std::string_view algorithm) {
  SshReader reader(message);
  if (reader.byte() != static_cast<uint8_t>(SshAgentMessage::sign_response)) return false;
  const std::string_view signature = reader.string();
  return reader.done() && ssh_type(signature) == algorithm;
}

// What a client wants signed to log in: RFC 4252 7, and OpenSSH's PROTOCOL 3.1 for the host-bound
// one, which names the host's key once more.
struct SshAgentSession::SignRequest {
  std::string_view key;
  uint32_t flags = 0;
  std::string_view session;
  std::string_view user;
  std::string_view algorithm;
  std::string_view host_key;
  bool host_bound = false;

  // False for what is anything else.
  bool parse(std::string_view body) {
    SshReader request(body);
    key = request.string();
    SshReader data(request.string());
    flags = request.number();
    session = data.string();
    const bool is_request = data.byte() == userauth_request;
    user = data.string();
    const std::string_view service = data.string();
    const std::string_view method = data.string();
    const bool has_signature = data.boolean();
    algorithm = data.string();
    const std::string_view same_key = data.string();
    host_bound = method == hostbound;
    if (host_bound) host_key = data.string();
    return request.done() && data.done() && is_request && service == "ssh-connection" &&
           (host_bound || method == publickey) && has_signature && same_key == key;
  }
};

SshAgentSession::Verdict SshAgentSession::judge(std::string_view message) {
  if (message.empty()) return refuse({}, "the request is empty");
  const auto type = static_cast<uint8_t>(message[0]);
  const std::string_view body = message.substr(1);
  switch (static_cast<SshAgentMessage>(type)) {
    case SshAgentMessage::request_identities:
      return body.empty() ? list() : refuse({}, "the request is malformed");
    case SshAgentMessage::sign_request:
      return sign(body);
    case SshAgentMessage::extension:
      return extend(message);
    default:
      break;
  }
  for (const Other& other : others) {
    if (other.number == type)
      return refuse({}, std::string("nobody in the sandbox may ") + other.name);
  }
  return refuse({}, format("request %u is none that is served", type));
}

bool SshAgentSession::is_for_us(const SshKeyGrant& grant) const {
  if (spoilt_) return false;
  if (binding_.empty()) return true;
  return std::find(grant.host_keys.begin(), grant.host_keys.end(), host_key_) !=
         grant.host_keys.end();
}

SshAgentSession::Verdict SshAgentSession::list() {
  std::vector<const SshKeyGrant*> listed;  // each key once
  for (const SshKeyGrant& grant : policy_.grants) {
    const bool seen = std::any_of(listed.begin(), listed.end(),
                                  [&](const auto* other) { return other->key == grant.key; });
    if (!seen && is_for_us(grant)) listed.push_back(&grant);
  }
  Verdict verdict;
  verdict.answer = message_of(SshAgentMessage::identities_answer);
  put_ssh_number(verdict.answer, static_cast<uint32_t>(listed.size()));
  for (const SshKeyGrant* grant : listed) {
    put_ssh_string(verdict.answer, grant->key);
    put_ssh_string(verdict.answer, grant->grant);  // where others have the owner's comment
  }
  return verdict;
}

SshAgentSession::Verdict SshAgentSession::extend(std::string_view message) {
  SshReader reader(message.substr(1));
  const std::string_view name = reader.string();
  if (!reader.good()) return refuse({}, "the request is malformed");
  if (name != bind_extension)
    return refuse({}, "the extension " + printable(name.substr(0, 64)) + " is not served");
  return bind(message.substr(1 + 4 + name.size()), message);
}

SshAgentSession::Verdict SshAgentSession::bind(std::string_view body, std::string_view message) {
  SshReader reader(body);
  const std::string_view host_key = reader.string();
  const std::string_view session = reader.string();
  const std::string_view signature = reader.string();
  const bool forwarding = reader.boolean();
  if (!reader.done() || ssh_type(host_key).empty() || session.empty() ||
      session.size() > longest_session)
    return refuse_binding("the binding is malformed");
  if (forwarding) return refuse_binding("the agent may not be forwarded to another host");
  if (message == binding_ && !spoilt_) {  // once more, which changes nothing
    Verdict verdict;
    verdict.answer = message_of(SshAgentMessage::success);
    return verdict;
  }
  if (!binding_.empty())
    return refuse_binding("the connection is bound to another session already");
  const std::string who = "the host key " + ssh_fingerprint(host_key);
  const bool known =
      std::any_of(policy_.grants.begin(), policy_.grants.end(), [&](const SshKeyGrant& grant) {
        return std::find(grant.host_keys.begin(), grant.host_keys.end(), host_key) !=
               grant.host_keys.end();
      });
  if (!known) return refuse_binding(who + " is that of no granted host");
  if (auto verified = verify_ssh_signature(host_key, session, signature); !verified)
    return refuse_binding(who + " has not signed this session: " + verified.error().message);
  binding_ = message;
  host_key_ = host_key;
  session_ = session;
  Verdict verdict;
  verdict.answer = message_of(SshAgentMessage::success);
  return verdict;
}

SshAgentSession::Verdict SshAgentSession::sign(std::string_view body) {
  SignRequest request;
  const bool understood = request.parse(body);
  SshUse use;
  use.bound = !binding_.empty();
  if (!ssh_type(request.key).empty()) use.key = ssh_fingerprint(request.key);
  if (!understood)
    return refuse(std::move(use), "only requests to log in by public key are signed");
  use.user = printable(request.user.substr(0, longest_user));

  const SshKeyGrant* granted = nullptr;
  for (const SshKeyGrant& grant : policy_.grants) {
    if (grant.key == request.key && is_for_us(grant) && granted == nullptr) granted = &grant;
  }
  if (spoilt_) return refuse(std::move(use), "the client's binding to a session was refused");
  if (granted == nullptr && use.bound)
    return refuse(std::move(use), "the key is not granted for this host");
  if (granted == nullptr) return refuse(std::move(use), "the key is not granted");
  use.grant = granted->grant;
  if (use.bound) use.host = granted->host;
  if (!use.bound && !policy_.allow_unbound)
    return refuse(std::move(use),
                  "the client has not said for which host (session-bind@openssh.com, which OpenSSH "
                  "sends since 8.9)");
  if (use.bound && request.session != session_)
    return refuse(std::move(use), "the request is for another session than the client is bound to");
  if (use.bound && request.host_bound && request.host_key != host_key_)
    return refuse(std::move(use), "the request is for another host than the client is bound to");
  if (!fits(request.algorithm, ssh_type(request.key), request.flags))
    return refuse(std::move(use), "signatures of the kind " +
                                      printable(request.algorithm.substr(0, 64)) +
                                      " are not made with this key");
  Verdict verdict;
  verdict.kind = Kind::sign;
  verdict.use = std::move(use);
  verdict.grant = granted;
  verdict.algorithm = request.algorithm;
  return verdict;
}

SshAgentSession::Verdict SshAgentSession::refuse(SshUse use, std::string reason) const {
  use.bound = !binding_.empty();
  use.reason = std::move(reason);
  Verdict verdict;
  verdict.kind = Kind::refuse;
  verdict.answer = ssh_agent_failure();
  verdict.use = std::move(use);
  return verdict;
}

SshAgentSession::Verdict SshAgentSession::refuse_binding(std::string reason) {
  Verdict verdict = refuse({}, std::move(reason));
  spoilt_ = true;
  return verdict;
}

}  // namespace moat::proxy
