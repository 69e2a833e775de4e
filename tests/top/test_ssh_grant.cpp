#include "ssh_grant.h"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "../proxy/ssh_messages.h"
#include "ssh_tools.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::test;

namespace {

SshPublicKey key_of(const SshVector& vector) {
  SshPublicKey key;
  key.blob = ssh_bytes(vector.key);
  key.type = ssh_type(key.blob);
  return key;
}

struct GrantTest {
  std::string directory;
  std::unique_ptr<store::Vault> vault;
  SshGrant grant;
  GrantTest() {
    char pattern[] = "/tmp/moat-ssh-grant-XXXXXX";
    if (mkdtemp(pattern) == nullptr) throw std::runtime_error("mkdtemp");
    directory = pattern;
    auto opened = store::Vault::open(directory + "/home");
    if (!opened) throw std::runtime_error(opened.error().message);
    vault = std::make_unique<store::Vault>(std::move(*opened));
    grant.target = {"git.example.com", 2222};
    grant.key = key_of(ssh_p256);
    grant.key.comment = "owner@laptop";
    grant.host_keys = {key_of(ssh_ed25519), key_of(ssh_rsa_sha256)};
  }
  ~GrantTest() { std::filesystem::remove_all(directory); }

  Result<void> put(Json facts) const {
    store::Sealed sealed;
    sealed.name = grant.target.grant();
    sealed.facts = std::move(facts);
    return vault->put(sealed);
  }
};

void a_name_says_host_and_port(Nothing&) {
  auto target = parse_ssh_grant("ssh:github.com");
  bool right = target && target->host == "github.com" && target->port == 22 &&
               target->grant() == "ssh:github.com" && target->known_as() == "github.com" &&
               target->address() == "github.com:22";
  assert_true(right);
  target = parse_ssh_grant("ssh:git.example.com:2222");
  right = target && target->port == 2222 && target->grant() == "ssh:git.example.com:2222" &&
          target->known_as() == "[git.example.com]:2222";
  assert_true(right);
  // One name for one thing.
  target = parse_ssh_grant("ssh:github.com:22");
  right = target && target->grant() == "ssh:github.com";
  assert_true(right);
  for (const char* other :
       {"ssh:", "ssh:*", "ssh:*.example.com", "ssh:host:", "ssh:host:0", "ssh:host:65536",
        "ssh:host:1:2", "ssh:::1", "ssh:a b", "ssh:git@github.com", "ssh:../../x", "ssh:-oProxy"}) {
    const bool refused = !parse_ssh_grant(other);
    assert_true(refused);
  }
  right = is_ssh_grant("ssh:x") && !is_ssh_grant("github") && !is_ssh_grant("sshx");
  assert_true(right);
}

void what_is_kept_comes_back(GrantTest& t) {
  t.grant.key_file = "/home/me/.ssh/id";
  const bool kept = t.put(t.grant.facts()).has_value();
  assert_true(kept);
  const auto use = use_ssh_grant(*t.vault, "ssh:git.example.com:2222", "");
  bool right = use && use->ssh && use->ssh->key.blob == t.grant.key.blob &&
               use->ssh->key_file == t.grant.key_file && use->ssh->host_keys.size() == 2 &&
               use->source == "/home/me/.ssh/id" && use->injections.empty() && use->hosts.empty();
  assert_true(right);
  // As bytes to this port, and to no other.
  right = use->tcp.size() == 1 && use->tcp[0].host == "git.example.com" &&
          use->tcp[0].port == uint16_t{2222} && use->tcp[0].lines.empty();
  assert_true(right);
  right = use->ssh->known_hosts() ==
          "[git.example.com]:2222 ssh-ed25519 " + std::string(ssh_ed25519.key) +
              "\n[git.example.com]:2222 ssh-rsa " + std::string(ssh_rsa_sha256.key) + "\n";
  assert_true(right);
  // Nothing that says who the owner is.
  right = t.grant.facts().text().find("owner") == std::string::npos;
  assert_true(right);
}

void what_is_missing_is_told_with_its_command(GrantTest& t) {
  const auto use = use_ssh_grant(*t.vault, "ssh:github.com", "");
  bool right = !use && use.error().code == Errc::not_found &&
               use.error().message.find("moat grant ssh:github.com") != std::string::npos;
  assert_true(right);
  right = !use_ssh_grant(*t.vault, "ssh:*", "");
  assert_true(right);
}

void what_cannot_be_used_is_said_to_be(GrantTest& t) {
  Json without_hosts = t.grant.facts();
  without_hosts.set("host_keys", Json::array());
  Json bad_host = t.grant.facts();
  bad_host.set("host_keys", Json::array().add("ssh-ed25519 AAAA").clone());
  Json bad_key = t.grant.facts();
  bad_key.set("key", "none");
  for (Json* facts : {&without_hosts, &bad_host, &bad_key}) {
    const bool kept = t.put(std::move(*facts)).has_value();
    assert_true(kept);
    const auto use = use_ssh_grant(*t.vault, t.grant.target.grant(), "");
    const bool right = !use && use.error().code == Errc::invalid &&
                       use.error().message.find("moat grant ssh:") != std::string::npos;
    assert_true(right);
  }
}

std::string key_file(uint32_t count, std::string_view blob) {
  std::string bytes("openssh-key-v1\0", 15);
  for (const char* part : {"aes256-ctr", "bcrypt", "salt and rounds"}) put_ssh_string(bytes, part);
  put_ssh_number(bytes, count);
  put_ssh_string(bytes, blob);
  put_ssh_string(bytes, "what is under the passphrase");
  std::string text = base64(bytes);
  for (size_t at = 70; at < text.size(); at += 71) text.insert(at, "\n");
  return "-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + "\n-----END OPENSSH PRIVATE KEY-----\n";
}

void the_public_half_of_a_key_is_in_the_clear(Nothing&) {
  const std::string blob = ssh_bytes(ssh_p256.key);
  const std::string file = key_file(1, blob);
  const auto key = public_half(file);
  bool right = key && key->blob == blob && key->type == "ecdsa-sha2-nistp256";
  assert_true(right);
  right = !public_half(key_file(2, blob)) && !public_half(key_file(1, "x")) && !public_half("") &&
          !public_half(file.substr(0, file.size() / 2)) && !public_half(file.substr(40)) &&
          !public_half("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n");
  assert_true(right);
}

void an_agents_list_is_looked_at(Nothing&) {
  std::string list("\x0c", 1);
  put_ssh_number(list, 2);
  for (const auto* vector : {&ssh_ed25519, &ssh_p256}) {
    put_ssh_string(list, ssh_bytes(vector->key));
    put_ssh_string(list, "a\x1b");
  }
  auto keys = parse_identities(list);
  bool right = keys && keys->size() == 2 && (*keys)[1].type == "ecdsa-sha2-nistp256" &&
               (*keys)[0].comment == "a\\x1b";
  assert_true(right);
  for (size_t size = 0; size < list.size(); ++size) {
    right = !parse_identities(list.substr(0, size));
    assert_true(right);
  }
  right = !parse_identities(list + "x") && !parse_identities("\x05");
  assert_true(right);
  const std::string many("\x0c\xff\xff\xff\xff", 5);
  right = !parse_identities(many);
  assert_true(right);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, a_name_says_host_and_port),
      MOAT_TEST(GrantTest, what_is_kept_comes_back),
      MOAT_TEST(GrantTest, what_is_missing_is_told_with_its_command),
      MOAT_TEST(GrantTest, what_cannot_be_used_is_said_to_be),
      MOAT_TEST(Nothing, the_public_half_of_a_key_is_in_the_clear),
      MOAT_TEST(Nothing, an_agents_list_is_looked_at),
  };
  return cmocka_run_group_tests_name("top/ssh_grant", tests, nullptr, nullptr);
}
