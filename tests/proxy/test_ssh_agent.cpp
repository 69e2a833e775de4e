#include "proxy/ssh_agent.h"

#include <functional>

#include "ssh_messages.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using namespace moat::test;

namespace {

using Verdict = SshAgentSession::Verdict;
using Kind = Verdict::Kind;

struct AgentTest {
  SshAgentPolicy policy = ssh_policy();
  SshAgentSession session{policy};
  Verdict last;

  bool refused(const std::string& message, const char* reason) {
    last = session.judge(message);
    const bool right = last.kind == Kind::refuse && last.answer == "\x05" &&
                       last.use.reason.find(reason) != std::string::npos;
    if (!right) print_error("kind %d: %s\n", static_cast<int>(last.kind), last.use.reason.c_str());
    return right;
  }
  bool bind(const SshBinding& binding = {}) {
    last = session.judge(binding.message());
    if (!last.use.reason.empty()) print_error("%s\n", last.use.reason.c_str());
    return last.kind == Kind::answer && last.answer == "\x06";
  }
  // The keys that are listed, as base64 and comment.
  std::vector<std::string> listed() {
    last = session.judge("\x0b");
    SshReader reader(last.answer);
    std::vector<std::string> keys;
    if (reader.byte() != 12) return {"no list"};
    for (uint32_t count = reader.number(); count > 0; --count) {
      const std::string_view key = reader.string();
      keys.push_back(base64(key) + " " + std::string(reader.string()));
    }
    if (!reader.done()) keys.emplace_back("more");
    return keys;
  }
};

std::string line(const SshVector& vector, const char* grant) {
  return std::string(vector.key) + " " + grant;
}

void a_bound_client_may_log_in(AgentTest& t) {
  const bool bound = t.bind();
  assert_true(bound);
  const std::string message = SshLogin().message();
  const Verdict verdict = t.session.judge(message);
  const bool right = verdict.kind == Kind::sign && verdict.answer.empty() &&
                     verdict.grant == &t.policy.grants[0] &&
                     verdict.algorithm == "ecdsa-sha2-nistp256" && verdict.use.user == "git" &&
                     verdict.use.host == "git.example.com" && verdict.use.bound &&
                     verdict.use.grant == "ssh:git.example.com" && verdict.use.reason.empty() &&
                     verdict.use.key == ssh_fingerprint(ssh_bytes(ssh_p256.key));
  assert_true(right);
  // What is passed on is what was verified, to the byte.
  const bool same = t.session.binding() == SshBinding().message();
  assert_true(same);
}

void it_may_name_the_host_once_more(AgentTest& t) {
  const bool bound = t.bind();
  assert_true(bound);
  SshLogin login;
  login.method = "publickey-hostbound-v00@openssh.com";
  put_ssh_string(login.rest, ssh_bytes(ssh_ed25519.key));
  const bool signs = t.session.judge(login.message()).kind == Kind::sign;
  assert_true(signs);
  login.rest.clear();
  put_ssh_string(login.rest, ssh_bytes(ssh_p521.key));  // the same host's, but not the session's
  const bool refused = t.refused(login.message(), "another host");
  assert_true(refused);
}

void each_rsa_signature_has_its_flag(AgentTest& t) {
  t.policy.grants[0].key = ssh_bytes(ssh_rsa_sha256.key);
  const bool bound = t.bind();
  assert_true(bound);
  SshLogin login;
  login.key = login.same_key = ssh_bytes(ssh_rsa_sha256.key);
  const struct {
    const char* algorithm;
    uint32_t flags;
    bool signs;
  } cases[] = {{"rsa-sha2-256", 2, true},  {"rsa-sha2-512", 4, true},  {"rsa-sha2-256", 4, false},
               {"rsa-sha2-512", 2, false}, {"rsa-sha2-256", 6, false}, {"ssh-rsa", 0, false},
               {"rsa-sha2-256", 0, false}, {"ssh-rsa", 2, false}};
  for (const auto& one : cases) {
    login.algorithm = one.algorithm;
    login.flags = one.flags;
    const bool signs = t.session.judge(login.message()).kind == Kind::sign;
    assert_true(signs == one.signs);
  }
}

SshLogin certified_login(const std::string& certificate) {
  SshLogin login;
  login.key = login.same_key = certificate;
  login.algorithm = "ecdsa-sha2-nistp256-cert-v01@openssh.com";
  return login;
}

void a_certificate_logs_in_for_its_key(AgentTest& t) {
  const std::string key = ssh_bytes(ssh_p256.key);
  const std::string certificate = ssh_certificate(key, "me\x1b");
  t.policy.grants[0].certificates = {certificate};
  assert_int_equal(t.listed().size(), 3);
  assert_true(t.bind());
  const auto listed = t.listed();
  assert_true(listed == (std::vector<std::string>{line(ssh_p256, "ssh:git.example.com"),
                                                  base64(certificate) + " ssh:git.example.com"}));
  SshLogin login = certified_login(certificate);
  for (const std::string& signer : {certificate, key}) {  // OpenSSH asks the key where it can
    login.key = signer;
    const Verdict verdict = t.session.judge(login.message());
    const bool right = verdict.kind == Kind::sign && verdict.algorithm == "ecdsa-sha2-nistp256" &&
                       verdict.use.key == ssh_fingerprint(key) &&
                       verdict.use.certificate == "me\\x1b";
    if (!right) print_error("%s %s\n", verdict.use.reason.c_str(), verdict.use.certificate.c_str());
    assert_true(right);
  }
  const bool plain = t.session.judge(SshLogin().message()).kind == Kind::sign;
  assert_true(plain);
  for (const char* algorithm : {"ecdsa-sha2-nistp256", "ssh-ed25519-cert-v01@openssh.com", ""}) {
    login.algorithm = algorithm;
    assert_true(t.refused(login.message(), "signatures of the kind"));
  }
  login = certified_login(certificate);
  login.flags = 2;
  assert_true(t.refused(login.message(), "signatures of the kind"));
  login = SshLogin();
  login.algorithm = "ecdsa-sha2-nistp256-cert-v01@openssh.com";
  assert_true(t.refused(login.message(), "signatures of the kind"));
}

void another_certificate_does_not(AgentTest& t) {
  const std::string key = ssh_bytes(ssh_p256.key);
  const std::string known = ssh_certificate(key, "known");
  t.policy.grants[0].certificates = {known};
  assert_true(t.bind());
  // Of another key, by itself and under the granted one.
  const std::string other = ssh_certificate(ssh_bytes(ssh_p521.key), "other");
  SshLogin login = certified_login(other);
  assert_true(t.refused(login.message(), "the key is not granted for this host"));
  login.key = key;
  assert_true(t.refused(login.message(), "only requests to log in"));
  // For the key, but nobody has it: it would be another's who found an authority that signs.
  login = certified_login(ssh_certificate(key, "made up"));
  assert_true(t.refused(login.message(), "the key is not granted for this host"));
  login.key = key;
  assert_true(t.refused(login.message(), "the certificate is none that the key's owner has"));
  // What is no certificate, whatever it says it is.
  login = certified_login(known.substr(0, known.size() - 1));
  assert_true(t.refused(login.message(), "not granted"));
}

void an_agent_may_have_the_certificate_alone(AgentTest& t) {
  const std::string certificate = ssh_certificate(ssh_bytes(ssh_p256.key), "me");
  t.policy.grants[0].certificates = {certificate};
  t.policy.grants[0].only_certified = true;
  assert_true(t.bind());
  assert_true(t.listed() == std::vector<std::string>{base64(certificate) + " ssh:git.example.com"});
  const bool signs = t.session.judge(certified_login(certificate).message()).kind == Kind::sign;
  assert_true(signs);
  assert_true(t.refused(SshLogin().message(), "the key is not granted for this host"));
}

void a_certificate_of_rsa_has_flags_too(AgentTest& t) {
  t.policy.grants[0].key = ssh_bytes(ssh_rsa_sha256.key);
  const std::string certificate = ssh_certificate(t.policy.grants[0].key, "me");
  t.policy.grants[0].certificates = {certificate};
  assert_true(t.bind());
  SshLogin login = certified_login(certificate);
  const struct {
    const char* algorithm;
    uint32_t flags;
    const char* signature;  // "" for none
  } cases[] = {{"rsa-sha2-256-cert-v01@openssh.com", 2, "rsa-sha2-256"},
               {"rsa-sha2-512-cert-v01@openssh.com", 4, "rsa-sha2-512"},
               {"rsa-sha2-512-cert-v01@openssh.com", 2, ""},
               {"ssh-rsa-cert-v01@openssh.com", 0, ""},
               {"rsa-sha2-256", 2, ""}};
  for (const auto& one : cases) {
    login.algorithm = one.algorithm;
    login.flags = one.flags;
    const Verdict verdict = t.session.judge(login.message());
    assert_string_equal(verdict.algorithm.c_str(), one.signature);
  }
}

void nothing_but_a_login_is_signed(AgentTest& t) {
  const bool bound = t.bind();
  assert_true(bound);
  const std::function<void(SshLogin&)> changes[] = {
      [](SshLogin& login) { login.type = 51; },
      [](SshLogin& login) { login.service = "ssh-userauth"; },
      [](SshLogin& login) { login.service = ""; },
      [](SshLogin& login) { login.method = "hostbased"; },
      [](SshLogin& login) { login.method = "publickey-hostbound-v00@openssh.com"; },
      [](SshLogin& login) { login.has_signature = 0; },
      [](SshLogin& login) { login.same_key = ssh_bytes(ssh_p521.key); },
      [](SshLogin& login) { login.rest = "x"; },
      [](SshLogin& login) { login.rest = std::string(4, '\0'); },
  };
  for (const auto& change : changes) {
    SshLogin login;
    change(login);
    const bool refused = t.refused(login.message(), "only requests to log in");
    assert_true(refused);
  }
  std::string signature_of_a_file("\x0d", 1);  // as ssh-keygen -Y sign asks for
  put_ssh_string(signature_of_a_file, ssh_bytes(ssh_p256.key));
  put_ssh_string(signature_of_a_file, std::string("SSHSIG\0\0\0\x03git\0\0\0\0", 17));
  put_ssh_number(signature_of_a_file, 0);
  const bool refused = t.refused(signature_of_a_file, "only requests to log in");
  assert_true(refused);
}

void a_login_elsewhere_is_refused(AgentTest& t) {
  const bool bound = t.bind();
  assert_true(bound);
  SshLogin login;
  login.session = "another session of thirty-two by";
  bool refused = t.refused(login.message(), "another session");
  assert_true(refused);
  login = SshLogin();
  login.algorithm = "ssh-ed25519";
  refused = t.refused(login.message(), "ssh-ed25519");
  assert_true(refused);
  // Granted, but for another host than the one that the client is bound to.
  login = SshLogin();
  login.key = login.same_key = ssh_bytes(ssh_rsa_sha256.key);
  refused = t.refused(login.message(), "not granted for this host");
  assert_true(refused);
  // Not granted at all, though whoever signs may have it.
  login.key = login.same_key = ssh_bytes(ssh_ed25519.key);
  refused = t.refused(login.message(), "not granted");
  assert_true(refused && t.last.use.key == ssh_fingerprint(ssh_bytes(ssh_ed25519.key)));
}

void an_unbound_client_is_refused(AgentTest& t) {
  const bool refused = t.refused(SshLogin().message(), "has not said for which host");
  assert_true(refused && t.last.use.user == "git" && !t.last.use.bound && t.last.use.host.empty() &&
              t.last.use.grant == "ssh:git.example.com");
}

void unless_the_user_has_said_so(AgentTest& t) {
  t.policy.allow_unbound = true;
  const Verdict verdict = t.session.judge(SshLogin().message());
  const bool signs = verdict.kind == Kind::sign && !verdict.use.bound && verdict.use.host.empty();
  assert_true(signs);
  SshLogin login;
  login.key = login.same_key = ssh_bytes(ssh_ed25519.key);
  bool refused = t.refused(login.message(), "not granted");
  assert_true(refused);
  login = SshLogin();
  login.type = 51;
  refused = t.refused(login.message(), "only requests to log in");
  assert_true(refused);
}

void whoever_binds_wrongly_is_not_taken_for_unbound(AgentTest& t) {
  t.policy.allow_unbound = true;
  SshBinding forged;
  forged.signature.back() = static_cast<char>(forged.signature.back() ^ 1);
  bool refused = t.refused(forged.message(), "has not signed this session");
  assert_true(refused);
  refused = t.refused(SshLogin().message(), "binding to a session was refused");
  assert_true(refused && t.listed().empty());
  // And it cannot be mended.
  refused = t.session.judge(SshBinding().message()).kind == Kind::answer &&
            t.refused(SshLogin().message(), "binding to a session was refused");
  assert_true(refused);
}

void each_forged_binding_is_refused(AgentTest&) {
  const struct {
    std::function<void(SshBinding&)> change;
    const char* reason;
  } cases[] = {
      {[](SshBinding& b) { b.session[0] = 'T'; }, "has not signed this session"},
      {[](SshBinding& b) { b.signature = ssh_bytes(ssh_p256.signature); }, "has not signed"},
      {[](SshBinding& b) { b.signature.clear(); }, "has not signed"},
      // A good signature, by a host that nobody has granted.
      {[](SshBinding& b) {
         b.host_key = ssh_bytes(ssh_p256.key);
         b.signature = ssh_bytes(ssh_p256.signature);
       },
       "is that of no granted host"},
      {[](SshBinding& b) { b.forwarding = 1; }, "may not be forwarded"},
      {[](SshBinding& b) { b.forwarding = 2; }, "may not be forwarded"},
      {[](SshBinding& b) { b.rest = "x"; }, "malformed"},
      {[](SshBinding& b) { b.session.clear(); }, "malformed"},
      {[](SshBinding& b) { b.session.assign(65, 's'); }, "malformed"},
      {[](SshBinding& b) { b.host_key = "key"; }, "malformed"},
  };
  for (const auto& one : cases) {
    AgentTest t;
    SshBinding binding;
    one.change(binding);
    bool refused = t.refused(binding.message(), one.reason);
    assert_true(refused && t.session.binding().empty());
    refused = t.refused(SshLogin().message(), "binding to a session was refused");
    assert_true(refused);
  }
  const std::string whole = SshBinding().message();
  for (size_t size = 1; size < whole.size(); ++size) {
    AgentTest t;
    const bool refused = t.refused(whole.substr(0, size), "");
    assert_true(refused);
  }
}

void a_connection_is_for_one_session(AgentTest& t) {
  bool bound = t.bind() && t.bind();  // the same once more
  assert_true(bound);
  SshBinding other;
  other.host_key = ssh_bytes(ssh_p521.key);
  other.signature = ssh_bytes(ssh_p521.signature);
  bool refused = t.refused(other.message(), "bound to another session already");
  assert_true(refused);
  refused = t.refused(SshLogin().message(), "binding to a session was refused");
  assert_true(refused);
}

void any_of_the_hosts_keys_will_do(AgentTest& t) {
  SshBinding other;
  other.host_key = ssh_bytes(ssh_p521.key);
  other.signature = ssh_bytes(ssh_p521.signature);
  const bool signs = t.bind(other) && t.session.judge(SshLogin().message()).kind == Kind::sign;
  assert_true(signs);
}

void only_granted_keys_are_listed_each_once(AgentTest& t) {
  t.policy.grants.push_back(t.policy.grants[0]);
  std::vector<std::string> keys = t.listed();
  bool right = keys == std::vector<std::string>{line(ssh_p256, "ssh:git.example.com"),
                                                line(ssh_rsa_sha256, "ssh:other.example.com")};
  assert_true(right);
  // A bound client sees those of its host.
  right = t.bind();
  assert_true(right);
  keys = t.listed();
  right = keys == std::vector<std::string>{line(ssh_p256, "ssh:git.example.com")};
  assert_true(right);
  right = t.refused("\x0b more", "malformed");
  assert_true(right);
}

void everything_else_is_refused(AgentTest& t) {
  for (int number = 0; number < 256; ++number) {
    if (number == 11 || number == 13 || number == 27) continue;
    const bool refused = t.refused(std::string(1, static_cast<char>(number)) + "anything", "");
    assert_true(refused && !t.last.use.reason.empty());
  }
  bool refused = t.refused("", "empty") && t.refused(std::string("\x11xy"), "add a key") &&
                 t.refused(std::string("\x16xy"), "lock the agent");
  assert_true(refused);
  std::string extension(1, '\x1b');
  put_ssh_string(extension, "que\nry");
  refused = t.refused(extension, "the extension que\\x0ary is not served");
  assert_true(refused);
  refused = t.refused("\x1b", "malformed") && t.refused("\x0d", "only requests to log in");
  assert_true(refused);
}

void a_users_name_is_fit_to_be_shown(AgentTest& t) {
  const bool bound = t.bind();
  assert_true(bound);
  SshLogin login;
  login.user = "a\x1b[2J" + std::string(1000, 'b');
  const Verdict verdict = t.session.judge(login.message());
  const bool right = verdict.kind == Kind::sign && verdict.use.user.rfind("a\\x1b[2J", 0) == 0 &&
                     verdict.use.user.size() < 300;
  assert_true(right);
}

void an_answer_must_be_a_signature_of_that_kind(Nothing&) {
  std::string answer("\x0e", 1);
  put_ssh_string(answer, ssh_bytes(ssh_p256.signature));
  bool right = is_sign_response(answer, "ecdsa-sha2-nistp256");
  assert_true(right);
  right = !is_sign_response(answer, "ssh-ed25519") &&
          !is_sign_response(answer + "x", "ecdsa-sha2-nistp256") &&
          !is_sign_response(answer.substr(0, 40), "ecdsa-sha2-nistp256") &&
          !is_sign_response("\x05", "ecdsa-sha2-nistp256") && !is_sign_response("", "");
  assert_true(right);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AgentTest, a_bound_client_may_log_in),
      MOAT_TEST(AgentTest, it_may_name_the_host_once_more),
      MOAT_TEST(AgentTest, each_rsa_signature_has_its_flag),
      MOAT_TEST(AgentTest, a_certificate_logs_in_for_its_key),
      MOAT_TEST(AgentTest, another_certificate_does_not),
      MOAT_TEST(AgentTest, an_agent_may_have_the_certificate_alone),
      MOAT_TEST(AgentTest, a_certificate_of_rsa_has_flags_too),
      MOAT_TEST(AgentTest, nothing_but_a_login_is_signed),
      MOAT_TEST(AgentTest, a_login_elsewhere_is_refused),
      MOAT_TEST(AgentTest, an_unbound_client_is_refused),
      MOAT_TEST(AgentTest, unless_the_user_has_said_so),
      MOAT_TEST(AgentTest, whoever_binds_wrongly_is_not_taken_for_unbound),
      MOAT_TEST(AgentTest, each_forged_binding_is_refused),
      MOAT_TEST(AgentTest, a_connection_is_for_one_session),
      MOAT_TEST(AgentTest, any_of_the_hosts_keys_will_do),
      MOAT_TEST(AgentTest, only_granted_keys_are_listed_each_once),
      MOAT_TEST(AgentTest, everything_else_is_refused),
      MOAT_TEST(AgentTest, a_users_name_is_fit_to_be_shown),
      MOAT_TEST(Nothing, an_answer_must_be_a_signature_of_that_kind),
  };
  return cmocka_run_group_tests_name("proxy/ssh_agent", tests, nullptr, nullptr);
}
