#include "proxy/scrubber.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstring>
#include <random>
#include <string>

#include "core/crypto.h"
#include "core/text.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;

namespace {

// With characters that each encoding treats in its own way.
const char* const secret = "ghp_S3cr3t+/=\"\\<&> tok\xc3\xa9n~\n!x";

struct ScrubTest {
  ScrubPatterns patterns;
  std::string text;
  std::string out;

  ScrubTest() { patterns.add(secret); }
  bool hides(const std::string& form) {
    text = "before " + form + " after";
    size_t hits = 0;
    out = scrub(patterns, text, &hits);
    const bool same_size = out.size() == text.size();
    const bool hidden = out.find(form) == std::string::npos;
    if (!hidden || hits != 1) print_error("not hidden: %s\n", form.c_str());
    return same_size && hidden && hits == 1 && out.substr(0, 7) == "before " &&
           out.substr(out.size() - 6) == " after";
  }
  static std::string in_pieces(const ScrubPatterns& patterns, std::string_view text,
                               std::minstd_rand& dice, size_t& hits) {
    Scrubber scrubber(patterns);
    std::string out;
    while (!text.empty()) {
      const size_t count = std::min<size_t>(dice() % 40, text.size());
      out += scrubber.feed(text.substr(0, count));
      text.remove_prefix(count);
    }
    out += scrubber.finish();
    hits = scrubber.hits();
    return out;
  }
};

std::string stars(size_t count) {
  return std::string(count, '*');
}

}  // namespace

static void each_form_of_a_secret_is_hidden_and_lengths_stay(ScrubTest& t) {
  for (const std::string& form : {
           std::string(secret),
           hex(secret),
           std::string("ghp_S3cr3t%2B%2F%3D%22%5C%3C%26%3E%20tok%C3%A9n~%0A%21x"),
           std::string("ghp_S3cr3t%2b%2f%3d%22%5c%3c%26%3e%20tok%c3%a9n~%0a!x"),
           std::string("ghp_S3cr3t%2B%2F%3D%22%5C%3C%26%3E+tok%C3%A9n%7E%0A%21x"),
           std::string("ghp_S3cr3t+/=%22%5C%3C&%3E%20tok%C3%A9n~%0A!x"),
           std::string("ghp_S3cr3t+/=\\\"\\\\<&> tok\xc3\xa9n~\\n!x"),
           std::string("ghp_S3cr3t+\\/=\\\"\\\\<&> tok\xc3\xa9n~\\n!x"),
           std::string("ghp_S3cr3t+/=\\\"\\\\\\u003c\\u0026\\u003e tok\xc3\xa9n~\\n!x"),
           std::string("ghp_S3cr3t+/=\\\"\\\\<&> tok\\u00e9n~\\n!x"),
           std::string("ghp_S3cr3t+\\/=\\\"\\\\<&> tok\\u00e9n~\\n!x"),
           std::string("ghp_S3cr3t+/=\\\\\\\"\\\\\\\\<&> tok\xc3\xa9n~\\\\n!x"),
       }) {
    const bool hidden = t.hides(form);
    assert_true(hidden);
  }
  t.text = hex(secret);
  std::transform(t.text.begin(), t.text.end(), t.text.begin(), toupper);
  assert_true(t.hides(std::string(t.text)));
}

static void base64_is_hidden_wherever_the_secret_stands_in_it(ScrubTest& t) {
  for (size_t before = 0; before < 7; ++before) {
    for (size_t after = 0; after < 4; ++after) {
      const std::string framed = std::string(before, 'u') + secret + std::string(after, 'v');
      for (const std::string& encoded : {base64(framed), base64url(framed)}) {
        t.out = scrub(t.patterns, encoded);
        const size_t hidden = static_cast<size_t>(std::count(t.out.begin(), t.out.end(), '*'));
        // All characters that hold bits of the secret alone: at most one at each end is shared.
        assert_true(hidden >= 8 * strlen(secret) / 6 - 1);
        assert_int_equal(t.out.size(), encoded.size());
      }
    }
  }
}

static void what_surrounds_a_secret_stays_as_it_was(ScrubTest& t) {
  t.text = std::string("{\"a\": \"") + secret + "\", \"b\": \"" + secret + secret + "\"}";
  size_t hits = 0;
  t.out = scrub(t.patterns, t.text, &hits);
  const size_t size = strlen(secret);
  const std::string wanted = "{\"a\": \"" + stars(size) + "\", \"b\": \"" + stars(2 * size) + "\"}";
  assert_string_equal(t.out.c_str(), wanted.c_str());
  assert_int_equal(hits, 3);
}

static void only_a_tail_that_may_begin_a_secret_is_held_back(ScrubTest& t) {
  Scrubber scrubber(t.patterns);
  t.out = scrubber.feed("data: tick\n\n");
  assert_string_equal(t.out.c_str(), "data: tick\n\n");
  t.out = scrubber.feed("data: ghp_");
  assert_string_equal(t.out.c_str(), "data: ");
  t.out = scrubber.feed("S3cr3");
  assert_string_equal(t.out.c_str(), "");
  t.out = scrubber.feed("x and ghp_");
  assert_string_equal(t.out.c_str(), "ghp_S3cr3x and ");
  t.out = scrubber.feed(secret + 4);
  assert_string_equal(t.out.c_str(), stars(strlen(secret)).c_str());
  t.out = scrubber.feed("ghp_");
  t.out += scrubber.finish();
  assert_string_equal(t.out.c_str(), "ghp_");
  assert_int_equal(scrubber.hits(), 1);
}

static void a_secret_in_single_bytes_never_leaves(ScrubTest& t) {
  Scrubber scrubber(t.patterns);
  t.text = std::string("x") + secret + "y";
  for (const char c : t.text) t.out += scrubber.feed({&c, 1});
  t.out += scrubber.finish();
  assert_string_equal(t.out.c_str(), ("x" + stars(strlen(secret)) + "y").c_str());
}

static void overlapping_secrets_are_hidden_whole(ScrubTest&) {
  ScrubPatterns patterns;
  patterns.add("abcabcab");
  patterns.add("cabXcabX");
  patterns.add("abca");
  const std::string out = scrub(patterns, "-abcabcabXcabX-abcabcabcab-abca-abc-");
  assert_string_equal(out.c_str(), "-*************-***********-****-abc-");
}

static void short_secrets_are_taken_raw_or_not_at_all(ScrubTest&) {
  ScrubPatterns patterns;
  patterns.add("abc");
  patterns.add("");
  assert_true(patterns.empty());
  assert_string_equal(scrub(patterns, "abc").c_str(), "abc");
  patterns.add("abcd");
  assert_string_equal(scrub(patterns, "abcabcd").c_str(), "abc****");
  assert_string_equal(scrub(patterns, hex("abcd")).c_str(), "61626364");
}

static void random_pieces_give_what_the_whole_gives(ScrubTest&) {
  std::minstd_rand dice(11);
  for (int round = 0; round < 300; ++round) {
    // Few letters, so that prefixes and overlaps abound.
    ScrubPatterns patterns;
    const auto word = [&](size_t size) {
      std::string out;
      while (out.size() < size) out += static_cast<char>('a' + dice() % 2);
      return out;
    };
    for (int i = 0; i < 3; ++i) patterns.add(word(4 + dice() % 12));
    const std::string text = word(600);
    size_t whole_hits = 0;
    const std::string whole = scrub(patterns, text, &whole_hits);
    size_t hits = 0;
    const std::string pieces = ScrubTest::in_pieces(patterns, text, dice, hits);
    assert_string_equal(pieces.c_str(), whole.c_str());
    assert_int_equal(hits, whole_hits);
    assert_int_equal(whole.size(), text.size());
  }
}

// One character as a writer may write it who escapes what it likes.
static std::string spelled(char c, unsigned style) {
  const auto byte = static_cast<unsigned char>(c);
  switch (style % 12) {
    case 0:
      return format("%%%02x", byte);
    case 1:
      return format("%%%02X", byte);
    case 2:
      return format("%%25%02X", byte);
    case 3:
      return format("\\u%04x", byte);
    case 4:
      return format("\\\\u%04X", byte);
    case 5:
      return format("&#%d;", byte);
    case 6:
      return format("&#x%X;", byte);
    case 7:
      return c == '/' ? "\\/" : std::string(1, c);
    default:
      return std::string(1, c);
  }
}

static void any_characters_of_a_secret_may_be_escaped(ScrubTest& t) {
  const std::string token = "ghp_S3cr3t/T0ken-0123456789";
  ScrubPatterns patterns;
  patterns.add(token);
  std::minstd_rand dice(3);
  const std::string forms[] = {token, base64(token), base64("x" + token), base64("xx" + token),
                               base64url("x-access:" + token)};
  for (int round = 0; round < 2000; ++round) {
    const std::string& form = forms[dice() % 5];
    t.text = "a";
    for (const char c : form) t.text += spelled(c, static_cast<unsigned>(dice() >> 8));
    t.text += "z";
    size_t hits = 0;
    t.out = scrub(patterns, t.text, &hits);
    if (hits != 1) print_error("not hidden: %s\n", t.text.c_str());
    assert_int_equal(hits, 1);
    assert_int_equal(t.out.size(), t.text.size());
    // What base64 shares with its neighbours stays: two groups at each end at most.
    const size_t stars_there = static_cast<size_t>(std::count(t.out.begin(), t.out.end(), '*'));
    if (&form == forms) assert_int_equal(stars_there, t.text.size() - 2);
    size_t cut_hits = 0;
    const std::string pieces = ScrubTest::in_pieces(patterns, t.text, dice, cut_hits);
    assert_string_equal(pieces.c_str(), t.out.c_str());
    assert_int_equal(cut_hits, 1);
  }
}

static void escapes_in_random_pieces_give_what_the_whole_gives(ScrubTest&) {
  std::minstd_rand dice(17);
  for (int round = 0; round < 500; ++round) {
    ScrubPatterns patterns;
    const auto word = [&](size_t size) {
      std::string out;
      while (out.size() < size) out += static_cast<char>('a' + dice() % 2);
      return out;
    };
    patterns.add(word(8));
    patterns.add(word(9 + dice() % 3));
    std::string text;
    while (text.size() < 600) {
      text += spelled(static_cast<char>('a' + dice() % 2), static_cast<unsigned>(dice() >> 8));
      if (dice() % 20 == 0) text += "\\%&#\\u0%2"[dice() % 9];
    }
    size_t whole_hits = 0;
    const std::string whole = scrub(patterns, text, &whole_hits);
    size_t hits = 0;
    const std::string pieces = ScrubTest::in_pieces(patterns, text, dice, hits);
    assert_string_equal(pieces.c_str(), whole.c_str());
    assert_int_equal(hits, whole_hits);
  }
}

static void ordinary_escapes_pass_at_once(ScrubTest&) {
  ScrubPatterns patterns;
  patterns.add("ghp_S3cr3tT0ken0123456789");
  Scrubber scrubber(patterns);
  for (const char* text :
       {"{\"a\":\"b\\\"\\n\\u00e9\"}\n", "a=b%20c&d=%2F\n", "&nbsp;&amp; x &#169;\n"}) {
    const std::string out(scrubber.feed(text));
    assert_string_equal(out.c_str(), text);
  }
}

static void a_secret_longer_than_the_window_is_found(ScrubTest&) {
  ScrubPatterns patterns;
  const std::string key = hex(random_bytes(2000));
  patterns.add(key);
  size_t hits = 0;
  const std::string out = scrub(patterns, "a" + key + "b" + base64(key), &hits);
  assert_true(out.substr(0, key.size() + 2) == "a" + stars(key.size()) + "b");
  assert_int_equal(hits, 2);
}

static void what_does_not_match_passes_quickly(ScrubTest& t) {
  // Measured: over 1 GB/s optimised; here the bound is for sanitizers and slow machines.
  std::string body;
  while (body.size() < 4 * 1024 * 1024) body += hex(random_bytes(512)) + "ghp_S3cr3 \"text\": 1,\n";
  Scrubber scrubber(t.patterns);
  const auto start = std::chrono::steady_clock::now();
  size_t out = 0;
  for (int i = 0; i < 4; ++i) {
    for (size_t at = 0; at < body.size(); at += 65536)
      out += scrubber.feed(std::string_view(body).substr(at, 65536)).size();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  out += scrubber.finish().size();
  const double rate = static_cast<double>(out) / took.count() / 1e6;
  print_message("# scrubbed %.0f MB/s\n", rate);
  assert_int_equal(out, 4 * body.size());
  assert_true(rate > 20);
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(ScrubTest, each_form_of_a_secret_is_hidden_and_lengths_stay),
      MOAT_TEST(ScrubTest, base64_is_hidden_wherever_the_secret_stands_in_it),
      MOAT_TEST(ScrubTest, what_surrounds_a_secret_stays_as_it_was),
      MOAT_TEST(ScrubTest, only_a_tail_that_may_begin_a_secret_is_held_back),
      MOAT_TEST(ScrubTest, a_secret_in_single_bytes_never_leaves),
      MOAT_TEST(ScrubTest, overlapping_secrets_are_hidden_whole),
      MOAT_TEST(ScrubTest, short_secrets_are_taken_raw_or_not_at_all),
      MOAT_TEST(ScrubTest, random_pieces_give_what_the_whole_gives),
      MOAT_TEST(ScrubTest, any_characters_of_a_secret_may_be_escaped),
      MOAT_TEST(ScrubTest, escapes_in_random_pieces_give_what_the_whole_gives),
      MOAT_TEST(ScrubTest, ordinary_escapes_pass_at_once),
      MOAT_TEST(ScrubTest, a_secret_longer_than_the_window_is_found),
      MOAT_TEST(ScrubTest, what_does_not_match_passes_quickly),
  };
  return cmocka_run_group_tests_name("proxy/scrubber", tests, nullptr, nullptr);
}
