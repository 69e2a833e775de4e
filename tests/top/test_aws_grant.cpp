#include "aws_grant.h"

#include <algorithm>
#include <string>

#include "core/clock.h"
#include "moat_test.h"
#include "proxy/aws_signer.h"

using namespace moat;

namespace {

struct AwsGrantTest {
  store::Sealed sealed;
  AwsGrantTest() {
    sealed.name = aws_grant_name;
    sealed.facts = Json::object();
    sealed.facts.set("source", "AWS_ACCESS_KEY_ID").set("region", "eu-west-1");
    AwsCredential credential;
    credential.keys = {"ASIAX", Secret("the/secret+\"key"), Secret("the-token")};
    credential.external_id = "theirs";
    sealed.secret = seal_aws(credential);
  }
  static std::string variable(const GrantUse& use, const char* name) {
    for (const auto& [key, value] : use.env)
      if (key == name) return value;
    return "(none)";
  }
};

void what_is_sealed_comes_back(AwsGrantTest& t) {
  const auto credential = unseal_aws(t.sealed.secret);
  assert_true(credential.has_value());
  assert_string_equal(credential->keys.access_key.c_str(), "ASIAX");
  assert_true(credential->keys.secret_key.equals("the/secret+\"key"));
  assert_true(credential->keys.session_token.equals("the-token"));
  assert_string_equal(credential->external_id.c_str(), "theirs");
  // Each secret by itself, for the record to look for.
  assert_int_equal(aws_secrets_in(t.sealed.secret).size(), 2);
  assert_int_equal(aws_secrets_in(Secret("ghp_token")).size(), 0);
  assert_int_equal(aws_secrets_in(Secret("{\"access_key_id\"")).size(), 0);
  assert_false(unseal_aws(Secret("ghp_token")).has_value());
  assert_false(unseal_aws(Secret("{}")).has_value());
}

void a_grant_becomes_a_signer_and_placeholders(AwsGrantTest& t) {
  const auto use = use_aws_grant(t.sealed);
  assert_true(use.has_value());
  assert_int_equal(use->injections.size(), 1);  // which puts nothing anywhere
  assert_true(use->injections[0].place == proxy::Injection::Place::none);
  assert_true(use->signer != nullptr && use->attend == nullptr);
  assert_int_equal(use->hosts.size(), 4);
  assert_string_equal(use->hosts[3].host.c_str(), "public.ecr.aws");
  assert_false(use->mintings.empty());
  assert_string_equal(use->hosts[0].host.c_str(), "*.amazonaws.com");
  assert_false(use->hosts[0].local);
  assert_string_equal(t.variable(*use, "AWS_REGION").c_str(), "eu-west-1");
  assert_string_equal(t.variable(*use, "AWS_ENDPOINT_URL").c_str(), "(none)");
  assert_true(t.variable(*use, "AWS_ACCESS_KEY_ID").starts_with("AKIAMOAT"));
  for (const auto& [name, value] : use->env) {
    assert_true(value.find("secret") == std::string::npos);
    assert_true(value.find("the-token") == std::string::npos);
  }
}

// Behind names of Amazon's anybody may listen: a token is for its registry and nobody else.
void what_amazon_mints_is_for_its_registries(AwsGrantTest& t) {
  const auto use = use_aws_grant(t.sealed);
  const auto takers = [&use](const char* host) {
    std::string out;
    for (const auto& minting : use->mintings) {
      if (proxy::minting_host_matches(minting.host, host)) out += minting.takers.at(0) + " ";
    }
    return out;
  };
  assert_string_equal(takers("api.ecr.eu-west-1.amazonaws.com").c_str(),
                      "*.dkr.ecr.*.amazonaws.com ");
  assert_string_equal(takers("api.ecr.cn-north-1.amazonaws.com.cn").c_str(),
                      "*.dkr.ecr.*.amazonaws.com.cn ");
  assert_string_equal(takers("codeartifact.eu-west-1.amazonaws.com").c_str(),
                      "*.d.codeartifact.*.amazonaws.com ");
  assert_string_equal(takers("s3.eu-west-1.amazonaws.com").c_str(), "");
  for (const auto& minting : use->mintings) {
    for (const char* host : {"x.execute-api.eu-west-1.amazonaws.com", "x.elb.amazonaws.com",
                             "1.dkr.ecr.eu.west.amazonaws.com", "dkr.ecr.eu-west-1.amazonaws.com"})
      assert_false(proxy::minting_host_matches(minting.takers[0], host));
  }
}

void variables_of_the_users_own_stay(AwsGrantTest& t) {
  std::vector<GrantUse> uses;
  uses.push_back(std::move(*use_aws_grant(t.sealed)));
  std::vector<std::pair<std::string, std::string>> env = {{"AWS_REGION", "sa-east-1"}};
  std::vector<runtime::HomeFile> files;
  add_placeholders(uses, env, files);
  assert_int_equal(env.size(), 4);
  assert_string_equal(env[0].second.c_str(), "sa-east-1");
}

void a_server_of_ones_own_is_the_only_one(AwsGrantTest& t) {
  t.sealed.facts.set("host", "minio.example.com").set("region", "");
  const auto use = use_aws_grant(t.sealed);
  assert_int_equal(use->hosts.size(), 2);
  assert_string_equal(use->hosts[1].host.c_str(), "*.minio.example.com");
  assert_true(use->hosts[1].local);
  assert_true(use->mintings.empty());
  assert_string_equal(t.variable(*use, "AWS_ENDPOINT_URL").c_str(), "https://minio.example.com");
  assert_string_equal(t.variable(*use, "AWS_REGION").c_str(), "(none)");
}

void a_role_is_kept_up_while_the_run_lives(AwsGrantTest& t) {
  t.sealed.facts.set("role", "arn:aws:iam::123456789012:role/agent");
  const auto use = use_aws_grant(t.sealed);
  assert_true(use.has_value());
  assert_true(use->attend != nullptr);
}

void keys_that_have_expired_are_told(AwsGrantTest& t) {
  t.sealed.facts.set("expires_at", "2020-01-01T00:00:00Z");
  assert_true(use_aws_grant(t.sealed).error().message.find("moat grant aws") != std::string::npos);
  t.sealed.facts.set("expires_at", "2999-01-01T00:00:00Z");
  assert_true(use_aws_grant(t.sealed).has_value());
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AwsGrantTest, what_is_sealed_comes_back),
      MOAT_TEST(AwsGrantTest, a_grant_becomes_a_signer_and_placeholders),
      MOAT_TEST(AwsGrantTest, what_amazon_mints_is_for_its_registries),
      MOAT_TEST(AwsGrantTest, variables_of_the_users_own_stay),
      MOAT_TEST(AwsGrantTest, a_server_of_ones_own_is_the_only_one),
      MOAT_TEST(AwsGrantTest, a_role_is_kept_up_while_the_run_lives),
      MOAT_TEST(AwsGrantTest, keys_that_have_expired_are_told),
  };
  return cmocka_run_group_tests_name("top/aws_grant", tests, nullptr, nullptr);
}
