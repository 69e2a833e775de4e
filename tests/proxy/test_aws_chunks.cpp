#include "proxy/aws_chunks.h"

#include <string>

#include "proxy/aws_sigv4.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

// The examples of the S3 API Reference: 65 KiB of 'a', in one chunk of 64 KiB and one of 1 KiB.
const char* const seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const char* const trailer_seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

std::string chunk(const std::string& size, const char* signature, const std::string& data) {
  return size + ";chunk-signature=" + signature + "\r\n" + data + "\r\n";
}

std::string example() {
  return chunk("10000", "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
               std::string(65536, 'a')) +
         chunk("400", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
               std::string(1024, 'a')) +
         chunk("0", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9", "");
}

std::string trailer_example() {
  return chunk("10000", "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
               std::string(65536, 'a')) +
         chunk("400", "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
               std::string(1024, 'a')) +
         "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
         "x-amz-checksum-crc32c:sOO8/Q==\r\n"
         "x-amz-trailer-signature:"
         "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";
}

struct AwsChunksTest {
  AwsScope scope{"20130524", "us-east-1", "s3"};
  Secret agents{"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
  Secret ours{"another/secret+key"};
  std::optional<AwsChunks> chunks;

  void begin(const Secret& from, const Secret& to, const char* first, bool trailer,
             const char* our_first = seed) {
    chunks.emplace("20130524T000000Z", scope.text(),
                   AwsChunks::Signer{aws_signing_key(from, scope), first},
                   AwsChunks::Signer{aws_signing_key(to, scope), our_first}, trailer);
  }
  // What comes of `body` in pieces of `piece` bytes, or "error: …".
  std::string pass(std::string_view body, size_t piece) {
    std::string out;
    for (size_t at = 0; at < body.size(); at += piece) {
      auto some = chunks->feed(body.substr(at, piece));
      if (!some) return "error: " + some.error().message;
      out += *some;
    }
    if (auto whole = chunks->finish(); !whole) return "error: " + whole.error().message;
    return out;
  }
};

void the_published_examples_are_signed_as_published(AwsChunksTest& t) {
  for (const size_t piece : {1UL, 7UL, 4096UL, 1000000UL}) {
    // By the same key from the same beginning, what comes out is what went in.
    t.begin(t.agents, t.agents, seed, false);
    assert_true(t.pass(example(), piece) == example());
    t.begin(t.agents, t.agents, trailer_seed, true, trailer_seed);
    assert_true(t.pass(trailer_example(), piece) == trailer_example());
  }
}

void what_is_signed_anew_is_good_for_the_other_key(AwsChunksTest& t) {
  t.begin(t.agents, t.ours, trailer_seed, true);
  const std::string out = t.pass(trailer_example(), 1000);
  assert_int_equal(out.size(), trailer_example().size());
  assert_true(out != trailer_example());
  t.begin(t.ours, t.agents, seed, true, trailer_seed);
  assert_true(t.pass(out, 1000) == trailer_example());
}

void a_changed_byte_does_not_pass(AwsChunksTest& t) {
  for (const size_t at : {100UL, 65700UL, 30UL}) {
    std::string body = example();
    body[at] = body[at] == '0' ? '1' : '0';
    t.begin(t.agents, t.ours, seed, false);
    assert_true(t.pass(body, 1000).find("not what was signed") != std::string::npos);
  }
  std::string body = trailer_example();
  body.replace(body.find("sOO8"), 4, "sOO9");
  t.begin(t.agents, t.ours, trailer_seed, true);
  assert_true(t.pass(body, 1000).find("not what was signed") != std::string::npos);
  // Chunks in another order, another beginning, another key.
  body = chunk("400", "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
               std::string(1024, 'a'));
  t.begin(t.agents, t.ours, seed, false);
  assert_true(t.pass(body, 1000).starts_with("error"));
  t.begin(t.agents, t.ours, trailer_seed, false);
  assert_true(t.pass(example(), 1000).starts_with("error"));
  t.begin(t.ours, t.ours, seed, false);
  assert_true(t.pass(example(), 1000).starts_with("error"));
}

void what_is_not_chunks_does_not_pass(AwsChunksTest& t) {
  const std::string line = ";chunk-signature=" + std::string(64, 'a') + "\r\n";
  const std::string bodies[] = {"",
                                "10000",
                                "400\r\nabc",
                                line,
                                "x" + line,
                                "-1" + line,
                                "100000000" + line,
                                "1;chunk-signature=aa\r\nx\r\n",
                                "1;a=b" + line + "x\r\n",
                                "00000000000000000000000000000000000001" + line,
                                "1" + line + "xyz\r\n",
                                std::string(200, '0'),
                                "100001" + line,
                                example() + "x",
                                example().substr(0, example().size() - 2),
                                example().substr(0, 66000)};
  for (const std::string& body : bodies) {
    t.begin(t.agents, t.ours, seed, false);
    assert_true(t.pass(body, 1).starts_with("error: "));
  }
  const std::string before = trailer_example().substr(0, trailer_example().find("x-amz-check"));
  for (const char* end : {"\r\n", "\r\n\r\n", "a:b\r\n\r\n", ":\r\n\r\n", "nothing\r\n\r\n",
                          "x-amz-trailer-signature:aa\r\nx:y\r\n\r\n"}) {
    t.begin(t.agents, t.ours, trailer_seed, true);
    assert_true(t.pass(before + end, 100).starts_with("error: "));
  }
  t.begin(t.agents, t.ours, trailer_seed, true);
  assert_true(t.pass(before + std::string(10000, 'x'), 100).starts_with("error: "));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(AwsChunksTest, the_published_examples_are_signed_as_published),
      MOAT_TEST(AwsChunksTest, what_is_signed_anew_is_good_for_the_other_key),
      MOAT_TEST(AwsChunksTest, a_changed_byte_does_not_pass),
      MOAT_TEST(AwsChunksTest, what_is_not_chunks_does_not_pass),
  };
  return cmocka_run_group_tests_name("proxy/aws_chunks", tests, nullptr, nullptr);
}
