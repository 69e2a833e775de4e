#include "proxy/aws_sigv4.h"

#include <string>
#include <vector>

#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

struct AwsSigv4Test {
  // Of AWS's published suite, and of the examples in the S3 API Reference.
  AwsKeys suite{"AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), Secret()};
  AwsKeys manual{"AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                 Secret()};
};

const std::string of_nothing = hex(view(sha256("")));

// "GET /path HTTP/1.1\nName:value\n…\n\nbody"; the body is left in `body`.
RequestHead read_request(std::string_view text, std::string* body = nullptr) {
  RequestHead head;
  const size_t end = text.find("\n\n");
  if (body != nullptr) *body = text.substr(end + 2);
  bool first = true;
  for (const std::string_view line : split(text.substr(0, end), '\n')) {
    if (std::exchange(first, false)) {
      head.method = line.substr(0, line.find(' '));
      const std::string_view rest = line.substr(head.method.size() + 1);
      head.path = rest.substr(0, rest.rfind(' '));
      continue;
    }
    const size_t colon = line.find(':');
    const Header header{std::string(line.substr(0, colon)),
                        std::string(trim(line.substr(colon + 1)))};
    if (header.name == "Host") {
      head.authority = header.value;
    } else {
      head.headers.push_back(header);
    }
  }
  return head;
}

// Test data of the published suite (github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4,
// Apache License 2.0): requests as they are signed by its reference implementation.
#define SIGNED(names, signature)                                                        \
  "\nAuthorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/" \
  "aws4_request, SignedHeaders=" names ", Signature=" signature "\nX-Amz-Date:20150830T123600Z"
#define PRESIGNED(signature)                                                                  \
  "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2F"   \
  "service%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires" \
  "=3600&X-Amz-Signature=" signature
#define HOST "\nHost:example.amazonaws.com"
#define TOKEN                                                                                \
  "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmx" \
  "fpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0K" \
  "PkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZb" \
  "qBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
constexpr const char* published[] = {
    "GET / HTTP/1.1" HOST
    "\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1" SIGNED(
        "host;my-header1;x-amz-date",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea") "\n\n",
    "GET / HTTP/1.1" HOST
    "\nMy-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\nMy-Header1:value2" SIGNED(
        "host;my-header1;x-amz-date",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01") "\n\n",
    "GET / HTTP/1.1" HOST "\nMy-Header1: value1\nMy-Header2: \"a   b   c\"" SIGNED(
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736") "\n\n",
    "GET /example1/example2/../.. HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31") "\n\n",
    "GET /example1/example2/../.. HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b") "\n\n",
    "GET /./example HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5") "\n\n",
    "GET //example// HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84") "\n\n",
    "GET //example// HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5") "\n\n",
    "GET /example space/ HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741") "\n\n",
    "GET /" UNRESERVED " HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f") "\n\n",
    "GET /\xe1\x88\xb4 HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85") "\n\n",
    "GET /?Param1=value1 HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb") "\n\n",
    "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1 HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac") "\n\n",
    "GET /?Param2=value2&Param1=value1 HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500") "\n\n",
    "GET /?" UNRESERVED "=" UNRESERVED " HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197") "\n\n",
    "GET /?\xe1\x88\xb4=bar HTTP/1.1" HOST SIGNED(
        "host;x-amz-date",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04") "\n\n",
    "GET / HTTP/1.1" HOST SIGNED(
        "host;x-amz-date;x-amz-security-token",
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8")
    "\nX-Amz-Security-Token:6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267\n\n",
    "POST / HTTP/1.1" HOST "\nX-Amz-Security-Token:" TOKEN SIGNED(
        "host;x-amz-date;x-amz-security-token",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead") "\n\n",
    "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded" HOST
    "\nContent-Length:13"
    "\nx-amz-content-sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e" SIGNED(
        "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b") "\n\nParam1=value1",
    "POST / HTTP/1.1" HOST "\nMy-Header1:value1" SIGNED(
        "host;my-header1;x-amz-date",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c") "\n\n",
    "GET /?\xe1\x88\xb4=bar&" PRESIGNED(
        "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600") " HTTP/1.1" HOST "\n\n",
    "GET //example//?" PRESIGNED(
        "822a5a9ba28072c5ab2bb4a6307d0c88276d40e49fec6b724c03fb4d4ba60fc2") " HTTP/1.1" HOST "\n\n",
    "GET /?" PRESIGNED(
        "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d") " HTTP/1.1" HOST "\n\n",
    "GET /?X-Amz-Security-Token=6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267&" PRESIGNED(
        "7ff2b50b376cb4d151970630573d6291dc128cc5c2a12ffb237f73cc53f67b6c") " HTTP/1.1" HOST "\n\n",
};

AwsSignature signature_of(const RequestHead& head) {
  auto found = find_aws_signature(head);
  if (!found) print_error("%s\n", found.error().message.c_str());
  assert_true(found.has_value());
  assert_true(found->has_value());
  return **found;
}

void the_published_suite_verifies(AwsSigv4Test& t) {
  for (const char* text : published) {
    std::string body;
    const RequestHead head = read_request(text, &body);
    const AwsSignature signature = signature_of(head);
    const std::string hash = hex(view(sha256(body)));
    const auto form = verify_aws_signature(head, signature, t.suite.secret_key, hash);
    if (!form) print_error("%s\n", text);
    assert_true(form.has_value());
    // And not with another key, body or method.
    assert_false(verify_aws_signature(head, signature, t.manual.secret_key, hash).has_value());
    assert_false(
        verify_aws_signature(head, signature, t.suite.secret_key, unsigned_payload).has_value());
    RequestHead other = head;
    other.method = "DELETE";
    assert_false(verify_aws_signature(other, signature, t.suite.secret_key, hash).has_value());
  }
}

// What is signed anew by other keys, and then by the first again, is what it was.
void signing_anew_comes_back_to_the_same_signature(AwsSigv4Test& t) {
  const AwsKeys temporary{"ASIAOTHER", Secret("another/secret+key"), Secret("a/token+of==")};
  for (const char* text : published) {
    std::string body;
    RequestHead head = read_request(text, &body);
    AwsSignature signature = signature_of(head);
    const std::string hash = hex(view(sha256(body)));
    const auto form = verify_aws_signature(head, signature, t.suite.secret_key, hash);
    const bool had_token = std::string_view(text).find("ecurity-Token") != std::string_view::npos;
    const std::string before = signature.signature;

    assert_true(sign_anew(head, signature, *form, temporary, hash).has_value());
    const AwsSignature now = signature_of(head);
    assert_string_equal(now.access_key.c_str(), "ASIAOTHER");
    assert_true(verify_aws_signature(head, now, temporary.secret_key, hash).has_value());
    assert_false(verify_aws_signature(head, now, t.suite.secret_key, hash).has_value());
    assert_int_equal(count(head.headers, "X-Amz-Security-Token"), now.presigned ? 0 : 1);

    assert_true(sign_anew(head, signature, *form, t.suite, hash).has_value());
    if (!had_token) assert_string_equal(signature_of(head).signature.c_str(), before.c_str());
    assert_int_equal(count(head.headers, "X-Amz-Security-Token"), 0);
    assert_true(head.path.find("oken") == std::string::npos);
  }
}

// S3 API Reference, "Signature Calculations for the Authorization Header" and "… Query Parameters".
void the_examples_of_the_s3_reference_verify(AwsSigv4Test& t) {
  const std::string begin =
      "\nHost:examplebucket.s3.amazonaws.com\nX-Amz-Date:20130524T000000Z"
      "\nAuthorization:AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
      "aws4_request,SignedHeaders=";
  const std::string empty = "\nx-amz-content-sha256:" + of_nothing;
  const std::string texts[] = {
      "GET /test.txt HTTP/1.1\nRange:bytes=0-9" + empty + begin +
          "host;range;x-amz-content-sha256;x-amz-date,Signature="
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41\n\n",
      "GET /?lifecycle HTTP/1.1" + empty + begin +
          "host;x-amz-content-sha256;x-amz-date,Signature="
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543\n\n",
      "GET /?max-keys=2&prefix=J HTTP/1.1" + empty + begin +
          "host;x-amz-content-sha256;x-amz-date,Signature="
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\n\n"};
  for (const std::string& text : texts) {
    const RequestHead head = read_request(text);
    assert_true(verify_aws_signature(head, signature_of(head), t.manual.secret_key, of_nothing)
                    .has_value());
  }
  const RequestHead put = read_request(
      "PUT /test%24file.text HTTP/1.1\nDate:Fri, 24 May 2013 00:00:00 GMT"
      "\nx-amz-storage-class:REDUCED_REDUNDANCY\nx-amz-content-sha256:"
      "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" +
      begin +
      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature="
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\n\n");
  assert_true(verify_aws_signature(put, signature_of(put), t.manual.secret_key,
                                   hex(view(sha256("Welcome to Amazon S3."))))
                  .has_value());
  const RequestHead presigned = read_request(
      "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F"
      "20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
      "&X-Amz-SignedHeaders=host&X-Amz-Signature="
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1"
      "\nHost:examplebucket.s3.amazonaws.com\n\n");
  assert_true(verify_aws_signature(presigned, signature_of(presigned), t.manual.secret_key,
                                   unsigned_payload)
                  .has_value());
}

// Each is a way in which a signature could mean something else to the service than to moat.
void what_is_no_good_signature_is_refused(AwsSigv4Test&) {
  const std::string good = std::string("GET / HTTP/1.1") + HOST;
  const std::string credential = "AKID/20150830/us-east-1/s3/aws4_request";
  const std::string hexes(64, 'a');
  const auto with = [&](const std::string& authorization) {
    return read_request(good + "\nX-Amz-Date:20150830T123600Z\nAuthorization:" + authorization +
                        "\n\n");
  };
  const std::string v4 = "AWS4-HMAC-SHA256 ";
  const std::string whole =
      v4 + "Credential=" + credential + ", SignedHeaders=host, Signature=" + hexes;
  assert_true(find_aws_signature(with(whole)).has_value());
  const std::string bad[] = {
      v4,
      v4 + "Credential=" + credential + ", SignedHeaders=host",
      whole + ", Signature=" + hexes,
      whole + ", More=1",
      whole + "a",
      v4 + "Credential=" + credential + ", SignedHeaders=x-amz-date, Signature=" + hexes,
      v4 + "Credential=" + credential + ", SignedHeaders=host;;x, Signature=" + hexes,
      v4 + "Credential=AKID/20150831/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=" +
          hexes,
      v4 + "Credential=AKID/20150830/us\neast/s3/aws4_request, SignedHeaders=host, Signature=" +
          hexes,
      v4 + "Credential=AKID/20150830/s3/aws4_request, SignedHeaders=host, Signature=" + hexes,
      "AWS4-HMAC-SHA512 Credential=" + credential,
      "aws4-hmac-sha256 Credential=" + credential,
      "AWS4-ECDSA-P256-SHA256 Credential=AKID/20150830/s3/aws4_request",
      "AWS AKID:c2lnbmF0dXJl",
      whole + "\nAuthorization:Bearer other",
      whole + "\nX-Amz-Date:20150830T123601Z",
  };
  for (const std::string& text : bad) {
    if (find_aws_signature(with(text)).has_value()) print_error("%s\n", text.c_str());
    assert_false(find_aws_signature(with(text)).has_value());
  }
  for (const char* query :
       {"X-Amz-Signature=aa", "x-amz-credential=AKID", "%58-Amz-Credential=AKID",
        "X-Amz-Security-Token=foreign", "AWSAccessKeyId=AKID&Signature=x&Expires=1",
        "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256"}) {
    assert_false(
        find_aws_signature(read_request("GET /?" + std::string(query) + " HTTP/1.1" HOST "\n\n"))
            .has_value());
  }
  RequestHead both = with(whole);
  both.path = "/?" PRESIGNED("0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600");
  assert_false(find_aws_signature(both).has_value());
  both.headers.clear();
  assert_true(find_aws_signature(both).has_value());
  both.path += "&X-Amz-Credential=AKID2";
  assert_false(find_aws_signature(both).has_value());
}

void what_is_not_signed_is_told_apart(AwsSigv4Test&) {
  for (const char* line : {"", "\nAuthorization:Bearer x", "\nAuthorization:Basic eDp5"}) {
    const auto found = find_aws_signature(
        read_request(std::string("GET /?a=1&signatures=2 HTTP/1.1") + HOST + line + "\n\n"));
    assert_true(found.has_value());
    assert_false(found->has_value());
  }
}

// aws-c-auth's own example of a derived key, by its public half.
void the_key_of_4a_is_derived_as_published(AwsSigv4Test&) {
  const auto key = aws_asymmetric_key("AKISORANDOMAASORANDOM",
                                      Secret("q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom"));
  assert_true(key.has_value());
  assert_string_equal(hex(key->public_der().substr(27)).c_str(),
                      "15d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb"
                      "0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0");
}

void a_request_for_several_regions_is_signed_anew(AwsSigv4Test& t) {
  for (const bool presigned : {false, true}) {
    RequestHead head = read_request("GET /a%20b?x=1 HTTP/1.1" HOST "\nX-Amz-Region-Set:*\n\n");
    if (presigned) head.headers.clear();
    if (presigned)
      head.path +=
          "&X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Date=20150830T123600Z"
          "&X-Amz-Expires=60&X-Amz-Region-Set=%2A";
    else
      head.headers.push_back({"X-Amz-Date", "20150830T123600Z"});
    AwsSignature signature;
    signature.presigned = presigned;
    signature.scope = {"20150830", "", "s3"};
    signature.time = "20150830T123600Z";
    signature.signed_headers = {"host"};
    if (!presigned) signature.signed_headers = {"host", "x-amz-date", "x-amz-region-set"};
    for (const AwsKeys* keys : {&t.suite, &t.manual}) {
      assert_true(sign_anew(head, signature, {}, *keys, of_nothing).has_value());
      const AwsSignature now = signature_of(head);
      assert_true(now.scope.asymmetric() && now.access_key == keys->access_key);
      assert_true(verify_aws_signature(head, now, keys->secret_key, of_nothing).has_value());
      const AwsKeys& other = keys == &t.suite ? t.manual : t.suite;
      assert_false(verify_aws_signature(head, now, other.secret_key, of_nothing).has_value());
      assert_false(verify_aws_signature(head, now, keys->secret_key, "x").has_value());
    }
  }
  // It must say for which regions it is, where that cannot be changed.
  assert_false(
      find_aws_signature(
          read_request("GET / HTTP/1.1" HOST "\nX-Amz-Date:20150830T123600Z"
                       "\nAuthorization:AWS4-ECDSA-P256-SHA256 Credential=AKID/20150830/"
                       "s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=3006\n\n"))
          .has_value());
}

// A header that a proxy must take away cannot be signed any more; one that was never there cannot
// be.
void only_headers_that_are_there_are_signed(AwsSigv4Test& t) {
  RequestHead head = read_request(published[0]);
  AwsSignature signature = signature_of(head);
  remove_all(head.headers, "My-Header1");
  assert_false(verify_aws_signature(head, signature, t.suite.secret_key, of_nothing).has_value());
  assert_true(sign_anew(head, signature, {}, t.manual, of_nothing).has_value());
  const AwsSignature now = signature_of(head);
  RequestHead timeless = head;
  remove_all(timeless.headers, "X-Amz-Date");
  assert_false(sign_anew(timeless, signature, {}, t.manual, of_nothing).has_value());
  assert_int_equal(now.signed_headers.size(), 2);
  assert_true(verify_aws_signature(head, now, t.manual.secret_key, of_nothing).has_value());
}

void a_plus_is_read_as_the_client_reads_it(AwsSigv4Test& t) {
  for (const auto query : {CanonicalForm::Query::decoded, CanonicalForm::Query::plus_is_space,
                           CanonicalForm::Query::as_sent}) {
    RequestHead head = read_request("GET /a%20b?q=x+y%2fz&a= HTTP/1.1" HOST "\n\n");
    head.headers.push_back({"X-Amz-Date", "20150830T123600Z"});
    AwsSignature signature;
    signature.scope = {"20150830", "us-east-1", "service"};
    signature.time = "20150830T123600Z";
    signature.signed_headers = {"host", "x-amz-date"};
    CanonicalForm form;
    form.query = query;
    assert_true(sign_anew(head, signature, form, t.suite, of_nothing).has_value());
    const auto found =
        verify_aws_signature(head, signature_of(head), t.suite.secret_key, of_nothing);
    assert_true(found.has_value());
    assert_true(found->query == query);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AwsSigv4Test, the_published_suite_verifies),
      MOAT_TEST(AwsSigv4Test, signing_anew_comes_back_to_the_same_signature),
      MOAT_TEST(AwsSigv4Test, the_examples_of_the_s3_reference_verify),
      MOAT_TEST(AwsSigv4Test, what_is_no_good_signature_is_refused),
      MOAT_TEST(AwsSigv4Test, what_is_not_signed_is_told_apart),
      MOAT_TEST(AwsSigv4Test, the_key_of_4a_is_derived_as_published),
      MOAT_TEST(AwsSigv4Test, a_request_for_several_regions_is_signed_anew),
      MOAT_TEST(AwsSigv4Test, only_headers_that_are_there_are_signed),
      MOAT_TEST(AwsSigv4Test, a_plus_is_read_as_the_client_reads_it),
  };
  return cmocka_run_group_tests_name("proxy/aws_sigv4", tests, nullptr, nullptr);
}
