#include "body_text.h"

#include <brotli/encode.h>

#include <stdexcept>
#include <string>

#include "proxy/gzip_text.h"

#include "moat_test.h"

using namespace moat;
using moat::test::gzip;

namespace {

void expect(bool right, const std::string& what) {
  if (!right) print_error("wrong: '%s'\n", what.c_str());
  assert_true(right);
}

struct BodyTextTest {};

std::string brotli_of(const std::string& text, int window = BROTLI_DEFAULT_WINDOW) {
  std::string out(BrotliEncoderMaxCompressedSize(text.size()) + 1024, '\0');
  size_t size = out.size();
  if (BrotliEncoderCompress(5, window, BROTLI_MODE_TEXT, text.size(),
                            reinterpret_cast<const uint8_t*>(text.data()), &size,
                            reinterpret_cast<uint8_t*>(out.data())) == BROTLI_FALSE)
    throw std::runtime_error("brotli");
  out.resize(size);
  return out;
}

std::string zlib_of(const std::string& text) {
  std::string out(compressBound(text.size()), '\0');
  uLongf size = out.size();
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(text.data()),
           text.size());
  out.resize(size);
  return out;
}

std::optional<BodyText> read(const std::string& bytes, const std::string& coding) {
  proxy::Snippet body;
  body.begin({{"Content-Type", "text/plain"}});
  body.add(bytes);
  proxy::Headers headers;
  if (!coding.empty()) headers.push_back({"content-encoding", coding});
  return body_text(headers, body);
}

const std::string line = "what a body says, and what is kept of it\n";

// Neither repeats itself nor can be guessed: compressed it stays long.
std::string noise(size_t size) {
  std::string text;
  unsigned state = 1;
  while (text.size() < size) {
    state = state * 1664525 + 1013904223;
    text += static_cast<char>('!' + (state >> 24) % 90);
  }
  return text;
}

void each_coding_is_undone(BodyTextTest&) {
  for (const std::string& text : {std::string("a"), line, noise(6000)}) {
    const struct {
      const char* coding;
      std::string bytes;
    } cases[] = {
        {"", text},
        {"identity", text},
        {"gzip", gzip(text)},
        {"GZIP", gzip(text)},
        {"x-gzip", gzip(text)},
        {"deflate", zlib_of(text)},
        {"br", brotli_of(text)},
        {"identity, br", brotli_of(text)},
    };
    for (const auto& one : cases) {
      const auto got = read(one.bytes, one.coding);
      expect(got && got->text == text && !got->cut, one.coding);
    }
  }
}

void more_than_8_kib_is_cut_and_said_to_be(BodyTextTest&) {
  const std::string text = noise(100'000);
  const std::string whole = text.substr(0, 8192);
  for (const std::string coding : {"", "gzip", "deflate", "br"}) {
    const std::string bytes = coding.empty()     ? text
                              : coding == "gzip" ? gzip(text)
                              : coding == "br"   ? brotli_of(text)
                                                 : zlib_of(text);
    const auto got = read(bytes, coding);
    const bool right = got && got->cut && !got->text.empty() && got->text.size() <= 8192 &&
                       whole.starts_with(got->text);
    expect(right, coding);
    if (coding != "br") assert_int_equal(got->text.size(), 8192);
  }
  // Exactly as much is not cut.
  assert_false(read(whole, "")->cut);
}

void what_was_cut_on_its_way_is_kept_as_far_as_it_goes(BodyTextTest&) {
  const std::string bytes = gzip(noise(4000));
  const auto got = read(bytes.substr(0, bytes.size() / 2), "gzip");
  assert_true(got && got->text.size() > 500);
  const std::string begun = noise(4000);
  assert_true(begun.starts_with(got->text));
}

void a_bomb_is_harmless(BodyTextTest&) {
  const std::string zeros(64 << 20, 'a');
  const auto inflated = read(gzip(zeros), "gzip");
  assert_true(inflated && inflated->cut);
  assert_int_equal(inflated->text.size(), 8192);
  // A window of 16 MiB is not given: nothing is kept then.
  const auto largest = read(brotli_of(zeros, 24), "br");
  assert_true(!largest || largest->text.size() <= 8192);
  const auto usual = read(brotli_of(zeros, 22), "br");
  assert_true(usual && usual->cut);
  assert_int_equal(usual->text.size(), 8192);
}

void what_is_not_what_it_says_is_not_kept(BodyTextTest&) {
  const std::string damaged = [] {
    std::string bytes = gzip(noise(4000));
    for (size_t i = 100; i < 140; ++i) bytes[i] = static_cast<char>(~bytes[i]);
    return bytes;
  }();
  const struct {
    const char* coding;
    std::string bytes;
  } cases[] = {
      {"gzip", line},
      {"br", "\xff\xff\xff\xff\xff"},
      {"deflate", line},
      {"gzip", damaged},
      {"zstd", line},
      {"gzip, br", gzip(brotli_of(line))},
      {"gzip, gzip", gzip(gzip(line))},
      {"", ""},
      {"gzip", gzip("")},
      {"compress", line},
  };
  for (const auto& one : cases) expect(!read(one.bytes, one.coding), one.coding);
}

void a_character_is_never_cut(BodyTextTest&) {
  for (const std::string character : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
    for (size_t before = 8192 - character.size(); before <= 8192; ++before) {
      const auto got = read(std::string(before, 'a') + character + "b", "");
      const size_t kept = before + character.size() <= 8192 ? before + character.size() : before;
      assert_true(got->cut);
      assert_int_equal(got->text.size(), kept);
    }
  }
  // What is no UTF-8 at all stays as it is.
  assert_int_equal(read(std::string(9000, '\x80'), "")->text.size(), 8192);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(BodyTextTest, each_coding_is_undone),
      MOAT_TEST(BodyTextTest, more_than_8_kib_is_cut_and_said_to_be),
      MOAT_TEST(BodyTextTest, what_was_cut_on_its_way_is_kept_as_far_as_it_goes),
      MOAT_TEST(BodyTextTest, a_bomb_is_harmless),
      MOAT_TEST(BodyTextTest, what_is_not_what_it_says_is_not_kept),
      MOAT_TEST(BodyTextTest, a_character_is_never_cut),
  };
  return cmocka_run_group_tests_name("top/body_text", tests, nullptr, nullptr);
}
