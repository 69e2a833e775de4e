// Messages of a client of an SSH agent's, for tests: right ones, and such as are right but for one
// thing.
#pragma once

#include <string>
#include <string_view>

#include "core/ssh_wire.h"
#include "core/text.h"
#include "proxy/ssh_agent.h"
#include "ssh_vectors.h"

namespace moat::test {

inline std::string ssh_bytes(const char* base64_text) {
  return *from_base64(base64_text);
}

struct SshBinding {
  std::string host_key = ssh_bytes(ssh_ed25519.key);
  std::string session = ssh_message;
  std::string signature = ssh_bytes(ssh_ed25519.signature);
  char forwarding = 0;
  std::string rest;

  [[nodiscard]] std::string message() const {
    std::string out(1, '\x1b');
    for (const std::string& part :
         {std::string("session-bind@openssh.com"), host_key, session, signature})
      put_ssh_string(out, part);
    return out + forwarding + rest;
  }
};

struct SshLogin {
  std::string key = ssh_bytes(ssh_p256.key);  // of the request
  std::string same_key = ssh_bytes(ssh_p256.key);
  uint32_t flags = 0;
  std::string session = ssh_message;
  char type = 50;
  std::string user = "git";
  std::string service = "ssh-connection";
  std::string method = "publickey";
  char has_signature = 1;
  std::string algorithm = "ecdsa-sha2-nistp256";
  std::string rest;

  [[nodiscard]] std::string message() const {
    std::string data;
    put_ssh_string(data, session);
    data += type;
    for (const std::string& part : {user, service, method}) put_ssh_string(data, part);
    data += has_signature;
    put_ssh_string(data, algorithm);
    put_ssh_string(data, same_key);
    data += rest;
    std::string out(1, '\x0d');
    put_ssh_string(out, key);
    put_ssh_string(out, data);
    put_ssh_number(out, flags);
    return out;
  }
};

// A certificate for that key, as PROTOCOL.certkeys has it; the authority's signature is none.
inline std::string ssh_certificate(std::string_view key, std::string_view id) {
  SshReader reader(key);
  std::string out;
  put_ssh_string(out, std::string(reader.string()) + "-cert-v01@openssh.com");
  put_ssh_string(out, std::string(32, 'n'));
  out += key.substr(4 + ssh_type(key).size());
  put_ssh_number(out, 0);
  put_ssh_number(out, 7);  // serial number
  put_ssh_number(out, 1);  // for a user
  put_ssh_string(out, id);
  put_ssh_string(out, "");
  for (const uint32_t half : {0U, 0U, ~0U, ~0U}) put_ssh_number(out, half);  // for ever
  for (int i = 0; i < 5; ++i) put_ssh_string(out, "");
  return out;
}

inline proxy::SshAgentPolicy ssh_policy() {
  proxy::SshAgentPolicy policy;
  policy.grants.push_back({"ssh:git.example.com",
                           "git.example.com",
                           ssh_bytes(ssh_p256.key),
                           {ssh_bytes(ssh_p521.key), ssh_bytes(ssh_ed25519.key)},
                           "/nowhere/agent"});
  policy.grants.push_back({"ssh:other.example.com",
                           "other.example.com",
                           ssh_bytes(ssh_rsa_sha256.key),
                           {ssh_bytes(ssh_p384.key)},
                           "/nowhere/agent"});
  return policy;
}

}  // namespace moat::test
