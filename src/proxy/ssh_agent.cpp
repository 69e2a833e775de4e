#include "proxy/ssh_agent.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/ssh_certificate.h"
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

// Does the request name the kind of signature that its flags will bring about? SHA-1 is none.
// `key_type` is that of a key or of a certificate, and `algorithm` has to be of the same.
bool fits(std::string_view algorithm, std::string_view key_type, uint32_t flags) {
  const std::string plain = without_certificate(key_type);
  if (plain != "ssh-rsa") return algorithm == key_type && flags == 0;
  const std::string signature = without_certificate(algorithm);
  const bool certified = key_type != plain;
  if ((signature != algorithm) != certified) return false;
  return (signature == "rsa-sha2-256" && flags == ssh_sign_sha256) ||
         (signature == "rsa-sha2-512" && flags == ssh_sign_sha512);
}

// A certificate has the fingerprint of its key.
std::string fingerprint_of(std::string_view blob) {
  const auto certificate = parse_ssh_certificate(blob);
  return ssh_fingerprint(certificate ? certificate->key : blob);
}

}  // namespace

std::string ssh_agent_failure() {
  return message_of(SshAgentMessage::failure);
}

bool SshKeyGrant::offers(std::string_view blob) const {
  if (blob == key) return !only_certified;
  return std::find(certificates.begin(), certificates.end(), blob) != certificates.end();
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
  std::string_view login_key;  // the same, or a certificate for it
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
    login_key = data.string();
    host_bound = method == hostbound;
    if (host_bound) host_key = data.string();
    return request.done() && data.done() && is_request && service == "ssh-connection" &&
           (host_bound || method == publickey) && has_signature;
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
  std::map<std::string_view, const SshKeyGrant*> listed;  // each key once, for its first grant
  std::vector<std::string_view> order;
  const auto add = [&](const std::string& blob, const SshKeyGrant& grant) {
    if (listed.emplace(blob, &grant).second) order.push_back(blob);
  };
  for (const SshKeyGrant& grant : policy_.grants) {
    if (!is_for_us(grant)) continue;
    if (!grant.only_certified) add(grant.key, grant);
    for (const std::string& certificate : grant.certificates) add(certificate, grant);
  }
  Verdict verdict;
  verdict.answer = message_of(SshAgentMessage::identities_answer);
  put_ssh_number(verdict.answer, static_cast<uint32_t>(order.size()));
  for (const std::string_view blob : order) {
    put_ssh_string(verdict.answer, blob);
    put_ssh_string(verdict.answer, listed[blob]->grant);  // where others have the owner's comment
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
  if (!ssh_type(request.key).empty()) use.key = fingerprint_of(request.key);
  // Where OpenSSH has both the key and a certificate, the key signs, and the certificate logs in.
  if (!understood || use.key != fingerprint_of(request.login_key))
    return refuse(std::move(use), "only requests to log in by public key are signed");
  use.user = printable(request.user.substr(0, longest_user));
  if (const auto certificate = parse_ssh_certificate(request.login_key))
    use.certificate = certificate->id;

  const SshKeyGrant* granted = nullptr;
  for (const SshKeyGrant& grant : policy_.grants) {
    if (grant.offers(request.key) && is_for_us(grant) && granted == nullptr) granted = &grant;
  }
  if (spoilt_) return refuse(std::move(use), "the client's binding to a session was refused");
  if (granted == nullptr && use.bound)
    return refuse(std::move(use), "the key is not granted for this host");
  if (granted == nullptr) return refuse(std::move(use), "the key is not granted");
  use.grant = granted->grant;
  if (!granted->offers(request.login_key))
    return refuse(std::move(use), "the certificate is none that the key's owner has");
  if (use.bound) use.host = granted->host;
  if (!use.bound && !policy_.allow_unbound)
    return refuse(std::move(use),
                  "the client has not said for which host (session-bind@openssh.com, which OpenSSH "
                  "sends since 8.9)");
  if (use.bound && request.session != session_)
    return refuse(std::move(use), "the request is for another session than the client is bound to");
  if (use.bound && request.host_bound && request.host_key != host_key_)
    return refuse(std::move(use), "the request is for another host than the client is bound to");
  if (!fits(request.algorithm, ssh_type(request.login_key), request.flags))
    return refuse(std::move(use), "signatures of the kind " +
                                      printable(request.algorithm.substr(0, 64)) +
                                      " are not made with this key");
  Verdict verdict;
  verdict.kind = Kind::sign;
  verdict.use = std::move(use);
  verdict.grant = granted;
  verdict.algorithm = without_certificate(request.algorithm);
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
