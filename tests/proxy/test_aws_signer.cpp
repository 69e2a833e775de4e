#include "proxy/aws_signer.h"

#include <optional>
#include <string>

#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

const AwsKeys placeholder{"AKIAPLACEHOLDER", Secret("placeholder-secret"), Secret()};
const AwsKeys foreign{"AKIAFOREIGN", Secret("foreign-secret"), Secret()};

AwsKeys real() {
  return {"ASIAREAL", Secret("real-secret"), Secret("real/token/of/this/role==")};
}

struct AwsSignerTest {
  AwsSigner signer{{"aws", {"*.amazonaws.com"}, placeholder.clone(), {"Authorization", "Cookie"}}};
  RequestHead head;
  BodyLength length;
  std::unique_ptr<RequestSigning> signing;
  std::optional<Result<void>> checked;
  std::string why;

  AwsSignerTest() { ask("GET", "s3.us-east-1.amazonaws.com", "/bucket/key"); }
  void ask(const char* method, const char* host, const char* path) {
    head = {};
    head.method = method;
    head.authority = host;
    head.path = path;
    head.headers = {{"X-Amz-Date", "20300101T000000Z"}};
    length = {};
  }
  AwsSignature signature(const char* service, bool presigned = false) {
    AwsSignature out;
    out.presigned = presigned;
    out.scope = {"20300101", "us-east-1", service};
    out.time = "20300101T000000Z";
    out.signed_headers = {"host"};
    if (!presigned) out.signed_headers.emplace_back("x-amz-date");
    return out;
  }
  void sign(const AwsKeys& keys, const char* service, std::string_view body = "") {
    AwsSignature by = signature(service);
    assert_true(sign_anew(head, by, {}, keys, hex(view(sha256(body)))).has_value());
  }
  // "", or why it does not pass.
  std::string begin(const char* scheme = "https") {
    checked.reset();
    auto begun = signer.begin(scheme, head.authority, head, length);
    if (!begun) return begun.error().message;
    signing = std::move(*begun);
    return "";
  }
  std::string check() {
    signing->check([this](const Result<void>& outcome) { checked = outcome; });
    if (!checked) return "waits";
    return *checked ? "" : checked->error().message;
  }
  void counted(uint64_t bytes) { length = {BodyLength::Kind::counted, bytes}; }
};

bool contains(const std::string& text, const char* part) {
  if (text.find(part) == std::string::npos) print_error("%s\n", text.c_str());
  return text.find(part) != std::string::npos;
}

void a_request_is_signed_with_the_real_keys(AwsSignerTest& t) {
  t.signer.set_keys(real());
  t.sign(placeholder, "s3");
  t.head.headers.push_back({"Cookie", "of=theirs"});
  assert_string_equal(t.begin().c_str(), "");
  assert_false(t.signing->wants_body());
  assert_string_equal(t.check().c_str(), "");
  RequestHead head = t.head;
  const auto applied = t.signing->sign(head);
  assert_true(applied.has_value());
  assert_string_equal(applied->labels.at(0).c_str(), "aws");
  assert_string_equal(applied->stripped.at(0).c_str(), "Cookie");
  assert_int_equal(applied->stripped.size(), 1);
  const auto now = find_aws_signature(head);
  assert_string_equal((*now)->access_key.c_str(), "ASIAREAL");
  assert_true(
      verify_aws_signature(head, **now, real().secret_key, hex(view(sha256("")))).has_value());
  assert_string_equal(find(head.headers, "X-Amz-Security-Token")->value.c_str(),
                      "real/token/of/this/role==");
  // What comes back is searched for the token, and for nothing where there is none.
  assert_true(t.signing->secrets() != nullptr);
  assert_false(t.signing->secrets()->clean("<Token>real/token/of/this/role==</Token>"));
  t.signer.set_keys({"AKIAREAL", Secret("real-secret"), Secret()});
  assert_false(t.signing->secrets()->clean("real/token/of/this/role=="));  // still good for a while
  t.signer.set_keys({"AKIAREAL", Secret("real-secret"), Secret()});
  assert_true(t.signing->secrets() == nullptr);
}

void a_foreign_key_does_not_ride_along(AwsSignerTest& t) {
  t.signer.set_keys(real());
  t.sign(foreign, "s3");
  assert_true(contains(t.begin(), "AKIAFOREIGN, which is not that of this run (AKIAPLACEHOLDER)"));
  // Nor under the name of ours.
  t.ask("GET", "s3.us-east-1.amazonaws.com", "/bucket/key");
  t.sign({"AKIAPLACEHOLDER", Secret("foreign-secret"), Secret()}, "s3");
  assert_string_equal(t.begin().c_str(), "");
  assert_true(contains(t.check(), "does not fit it"));
  // Nor in a URL, an old signature, or a form.
  for (const char* path :
       {"/k?X-Amz-Credential=AKIAFOREIGN", "/k?AWSAccessKeyId=AKIA&Signature=x"}) {
    t.ask("GET", "s3.us-east-1.amazonaws.com", path);
    assert_string_not_equal(t.begin().c_str(), "");
  }
  t.ask("POST", "bucket.s3.amazonaws.com", "/");
  t.head.headers.push_back({"Content-Type", "multipart/form-data; boundary=x"});
  assert_true(contains(t.begin(), "as a form"));
  t.ask("POST", "bucket.s3.amazonaws.com", "/");
  t.head.headers.push_back({"Authorization", "AWS AKIA:c2ln"});
  assert_true(contains(t.begin(), "older version"));
}

void a_changed_request_does_not_pass(AwsSignerTest& t) {
  t.signer.set_keys(real());
  for (const int what : {0, 1, 2, 3}) {
    t.ask("GET", "s3.us-east-1.amazonaws.com", "/bucket/key?a=1");
    t.sign(placeholder, "s3");
    if (what == 0) t.head.path = "/bucket/other?a=1";
    if (what == 1) t.head.path = "/bucket/key?a=2";
    if (what == 2) t.head.method = "DELETE";
    if (what == 3) t.head.authority = "iam.amazonaws.com";
    assert_string_equal(t.begin().c_str(), "");
    assert_true(contains(t.check(), "does not fit it"));
  }
}

void a_body_without_a_hash_is_gathered_first(AwsSignerTest& t) {
  t.signer.set_keys(real());
  t.ask("POST", "dynamodb.us-east-1.amazonaws.com", "/");
  t.sign(placeholder, "dynamodb", "{\"a\":1}");
  t.counted(7);
  assert_string_equal(t.begin().c_str(), "");
  assert_true(t.signing->wants_body());
  assert_true(t.signing->gather("{\"a\"").has_value());
  assert_true(t.signing->gather(":1}").has_value());
  assert_string_equal(t.check().c_str(), "");
  assert_string_equal(t.signing->take_body().c_str(), "{\"a\":1}");
  // Another body than the one that was signed.
  assert_string_equal(t.begin().c_str(), "");
  assert_true(t.signing->gather("{\"a\":2}").has_value());
  assert_true(contains(t.check(), "does not fit it"));
}

void what_would_be_too_much_to_hold_is_refused(AwsSignerTest& t) {
  t.ask("POST", "dynamodb.us-east-1.amazonaws.com", "/");
  t.sign(placeholder, "dynamodb", "");
  t.counted(AwsSigner::largest_body + 1);
  assert_true(contains(t.begin(), "16.0 MiB"));
  t.length = {BodyLength::Kind::chunked, 0};
  assert_string_equal(t.begin().c_str(), "");
  const std::string half(AwsSigner::largest_body / 2, 'x');
  assert_true(t.signing->gather(half).has_value());
  assert_true(t.signing->gather(half).has_value());
  assert_true(t.signing->gather("x").error().code == Errc::too_large);
  // All together; and what is given up is there for others.
  std::vector<std::unique_ptr<RequestSigning>> others;
  for (size_t held = AwsSigner::largest_body; held < AwsSigner::all_bodies; held += half.size()) {
    others.push_back(std::move(*t.signer.begin("https", t.head.authority, t.head, t.length)));
    assert_true(others.back()->gather(half).has_value());
  }
  auto more = std::move(*t.signer.begin("https", t.head.authority, t.head, t.length));
  assert_true(more->gather("x").error().code == Errc::full);
  (void)others[0]->take_body();
  assert_true(more->gather("x").has_value());
}

void a_presigned_url_is_signed_anew(AwsSignerTest& t) {
  t.signer.set_keys(real());
  t.ask("GET", "bucket.s3.amazonaws.com",
        "/a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20300101T000000Z&X-Amz-Expires=60"
        "&versionId=1");
  t.head.headers.clear();
  AwsSignature by = t.signature("s3", true);
  CanonicalForm form;
  form.path = CanonicalForm::Path::as_service;
  assert_true(sign_anew(t.head, by, form, placeholder, unsigned_payload).has_value());
  assert_string_equal(t.begin().c_str(), "");
  assert_string_equal(t.check().c_str(), "");
  RequestHead head = t.head;
  assert_true(t.signing->sign(head).has_value());
  assert_true(contains(head.path, "&X-Amz-Security-Token=real%2Ftoken%2Fof%2Fthis%2Frole%3D%3D"));
  assert_true(contains(head.path, "&versionId=1&"));
  const auto now = find_aws_signature(head);
  assert_string_equal((*now)->access_key.c_str(), "ASIAREAL");
  assert_true(verify_aws_signature(head, **now, real().secret_key, unsigned_payload).has_value());
  t.head.path += "1";
  assert_string_not_equal((t.begin() + t.check()).c_str(), "");
}

void requests_wait_for_the_first_keys_and_hear_why_there_are_none(AwsSignerTest& t) {
  t.sign(placeholder, "s3");
  assert_string_equal(t.begin().c_str(), "");
  assert_string_equal(t.check().c_str(), "waits");
  t.signer.set_keys(real());
  assert_true(t.checked && t.checked->has_value());
  t.signer.set_failure(error(Errc::refused, "the role is closed"));
  assert_string_equal(t.begin().c_str(), "");
  assert_string_equal(t.check().c_str(), "the role is closed");
  t.signer.set_keys(real());
  assert_string_equal(t.begin().c_str(), "");
  assert_string_equal(t.check().c_str(), "");
}

// An API of anybody's, on a name of Amazon's: a signature for IAM, sent there, would be theirs to
// use.
void a_customers_host_gets_no_signature_for_other_services(AwsSignerTest& t) {
  t.signer.set_keys(real());
  t.ask("GET", "abc123.execute-api.us-east-1.amazonaws.com", "/prod");
  t.sign(placeholder, "iam");
  assert_true(contains(t.begin(), "served by a customer of AWS"));
  t.ask("GET", "abc123.execute-api.us-east-1.amazonaws.com", "/prod");
  t.sign(placeholder, "execute-api");
  assert_string_equal(t.begin().c_str(), "");
  assert_string_equal(t.check().c_str(), "");
  t.ask("GET", "lb-1.us-east-1.elb.amazonaws.com", "/");
  t.sign(placeholder, "s3");
  assert_true(contains(t.begin(), "served by a customer of AWS"));
}

void nothing_is_signed_in_the_clear(AwsSignerTest& t) {
  t.signer.set_keys(real());
  t.sign(placeholder, "s3");
  assert_true(contains(t.begin("http"), "over TLS only"));
}

void what_is_not_signed_passes_without_credentials(AwsSignerTest& t) {
  t.head.headers = {
      {"Authorization", "Bearer foreign"}, {"x-amz-security-token", "foreign"}, {"Accept", "*/*"}};
  for (const char* scheme : {"https", "http"}) {
    assert_string_equal(t.begin(scheme).c_str(), "");
    assert_string_equal(t.check().c_str(), "");  // without keys
    RequestHead head = t.head;
    const auto applied = t.signing->sign(head);
    assert_true(applied->labels.empty());
    assert_int_equal(applied->stripped.size(), 2);
    assert_int_equal(head.headers.size(), 1);
  }
}

void a_payload_that_is_signed_otherwise_is_refused(AwsSignerTest& t) {
  for (const char* hash :
       {"STREAMING-AWS4-HMAC-SHA256-EVENTS", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "abc"}) {
    t.ask("PUT", "s3.us-east-1.amazonaws.com", "/bucket/key");
    t.head.headers.push_back({"x-amz-content-sha256", hash});
    t.sign(placeholder, "s3");
    assert_true(contains(t.begin(), "in a way that moat cannot sign anew"));
  }
  // Chunks of one kind of signature below another.
  t.ask("PUT", "s3.us-east-1.amazonaws.com", "/bucket/key");
  t.head.headers.push_back({"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"});
  t.head.headers.push_back({"X-Amz-Region-Set", "*"});
  AwsSignature several = t.signature("s3");
  several.scope.region = "";
  several.signed_headers.emplace_back("x-amz-region-set");
  assert_true(sign_anew(t.head, several, {}, placeholder, "x").has_value());
  assert_true(contains(t.begin(), "in a way that moat cannot sign anew"));
  t.ask("PUT", "s3.us-east-1.amazonaws.com", "/bucket/key");
  t.head.headers.push_back({"x-amz-content-sha256", "UNSIGNED-PAYLOAD"});
  t.head.headers.push_back({"X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"});
  t.sign(placeholder, "s3");
  assert_true(contains(t.begin(), "more than once"));
}

void placeholders_look_real_and_are_never_the_same(AwsSignerTest&) {
  const AwsKeys one = placeholder_aws_keys();
  const AwsKeys other = placeholder_aws_keys();
  assert_int_equal(one.access_key.size(), 20);
  assert_true(one.access_key.starts_with("AKIA"));
  assert_int_equal(one.secret_key.size(), 40);
  assert_true(one.session_token.empty());
  assert_string_not_equal(one.access_key.c_str(), other.access_key.c_str());
  assert_false(one.secret_key.equals(other.secret_key.reveal()));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AwsSignerTest, a_request_is_signed_with_the_real_keys),
      MOAT_TEST(AwsSignerTest, a_foreign_key_does_not_ride_along),
      MOAT_TEST(AwsSignerTest, a_changed_request_does_not_pass),
      MOAT_TEST(AwsSignerTest, a_body_without_a_hash_is_gathered_first),
      MOAT_TEST(AwsSignerTest, what_would_be_too_much_to_hold_is_refused),
      MOAT_TEST(AwsSignerTest, a_presigned_url_is_signed_anew),
      MOAT_TEST(AwsSignerTest, requests_wait_for_the_first_keys_and_hear_why_there_are_none),
      MOAT_TEST(AwsSignerTest, a_customers_host_gets_no_signature_for_other_services),
      MOAT_TEST(AwsSignerTest, nothing_is_signed_in_the_clear),
      MOAT_TEST(AwsSignerTest, what_is_not_signed_passes_without_credentials),
      MOAT_TEST(AwsSignerTest, a_payload_that_is_signed_otherwise_is_refused),
      MOAT_TEST(AwsSignerTest, placeholders_look_real_and_are_never_the_same),
  };
  return cmocka_run_group_tests_name("proxy/aws_signer", tests, nullptr, nullptr);
}
