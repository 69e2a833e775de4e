#include "proxy/gzip_filter.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "core/crypto.h"
#include "core/text.h"
#include "gzip_text.h"
#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::gunzip;
using moat::test::gzip;
using moat::test::GzipWriter;

namespace {

const char* const secret = "ghp_S3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3t";

struct FilterTest {
  ScrubPatterns patterns;
  std::unique_ptr<GzipFilter> filter;
  std::string out;
  std::string error;
  std::minstd_rand dice{7};
  size_t steps = 0;

  FilterTest() {
    patterns.add(secret);
    fresh();
  }
  void fresh() {
    filter = std::make_unique<GzipFilter>(patterns);
    out.clear();
    error.clear();
    steps = 0;
  }
  bool work() {
    while (true) {
      ++steps;
      const auto more = filter->step(out);
      if (!more) error = more.error().message;
      if (!more || !*more) return error.empty();
    }
  }
  bool push(std::string_view bytes) {
    filter->push(bytes);
    return work();
  }
  bool end() {
    filter->end();
    return work();
  }
  // All of it, in pieces of at most `most` bytes.
  bool pass(std::string_view bytes, size_t most) {
    fresh();
    while (!bytes.empty()) {
      const size_t count = std::min<size_t>(1 + dice() % most, bytes.size());
      if (!push(bytes.substr(0, count))) return false;
      bytes.remove_prefix(count);
    }
    return end();
  }
  // Lines of few words, so that there is much to copy.
  std::string prose(size_t size) {
    static const char* const words[] = {"the ",      "agent ", "says ", "ghp_",
                                        "\"\\n\": ", "GHP ",   "Z2hw"};
    std::string text;
    while (text.size() < size) {
      text += words[dice() % 7];
      if (dice() % 9 == 0) text += hex(random_bytes(6));
    }
    return text;
  }
};

std::string masked(std::string text) {
  const std::string_view needle = secret;
  for (size_t at = 0; (at = text.find(needle, at)) != std::string::npos; at += needle.size())
    text.replace(at, needle.size(), needle.size(), '*');
  return text;
}

void what_is_clean_passes_byte_for_byte(FilterTest& t) {
  for (const int level : {0, 1, 6, 9}) {
    for (const int strategy : {Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_FIXED, Z_RLE}) {
      for (const size_t size : {0, 1, 100, 70'000, 300'000}) {
        const std::string bytes = gzip(t.prose(size), level, strategy);
        assert_true(t.pass(bytes, 1 << 16));
        assert_true(t.out == bytes);
        assert_int_equal(t.filter->hits(), 0);
        assert_false(t.filter->altered());
      }
    }
  }
}

void a_secret_is_masked_and_the_rest_stays(FilterTest& t) {
  for (const int level : {0, 1, 6, 9}) {
    for (const int strategy : {Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_FIXED}) {
      for (const size_t before : {0, 1, 999, 40'000, 200'000}) {
        const std::string text = t.prose(before) + secret + t.prose(70'000) + base64(secret) + "!";
        assert_true(t.pass(gzip(text, level, strategy), 1 << 14));
        const std::string got = gunzip(t.out);
        assert_int_equal(got.size(), text.size());
        assert_int_equal(t.filter->hits(), 2);
        assert_true(got == scrub(t.patterns, text));
        assert_true(t.filter->altered());
      }
    }
  }
}

void cuts_anywhere_change_nothing(FilterTest& t) {
  const std::string text = t.prose(500) + secret + t.prose(100);
  for (const bool with_secret : {false, true}) {
    const std::string bytes = gzip(with_secret ? text : text.substr(0, 500));
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
      t.fresh();
      assert_true(t.push(std::string_view(bytes).substr(0, cut)));
      assert_true(t.push(std::string_view(bytes).substr(cut)));
      assert_true(t.end());
      if (with_secret) {
        assert_true(gunzip(t.out) == masked(text));
      } else {
        assert_true(t.out == bytes);
      }
    }
    assert_true(t.pass(bytes, 1));
  }
}

// Nothing of a block that holds a secret leaves: not its header, which has the frequencies of its
// characters, and nothing in which its length or its copies would show.
void what_leaves_before_a_secret_does_not_depend_on_it(FilterTest& t) {
  // Its last characters are no beginning of a secret, which would wait to be told from one.
  const std::string before = t.prose(30'000) + ". ";
  std::string outs[2];
  const std::string other = masked(secret);
  const std::string_view variants[] = {secret, other};
  for (int i = 0; i < 2; ++i) {
    GzipWriter writer;
    std::string bytes = writer.write(before, Z_SYNC_FLUSH);
    bytes += writer.write("you sent " + std::string(variants[i]) + " to us, ghp_S3cr3", Z_FINISH);
    t.fresh();
    assert_true(t.push(bytes.substr(0, bytes.size() - 12)));
    outs[i] = t.out;
  }
  // Masked already, the second is clean and waits for the end of its block; the first is rewritten
  // from there on.
  assert_true(outs[0].substr(0, outs[1].size()) == outs[1]);
  assert_true(gunzip(outs[1], false) == before);
}

void a_flush_leaves_in_the_step_in_which_it_came(FilterTest& t) {
  for (const int flush : {Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_PARTIAL_FLUSH}) {
    for (const char* first :
         {"data: nothing\n\n", "data: ghp_S3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3t\n\n"}) {
      GzipWriter writer;
      t.fresh();
      std::string sent;
      for (int i = 0; i < 50; ++i) {
        const std::string event = i == 7 ? first : "data: tick " + std::to_string(i) + "\n\n";
        sent += masked(event);
        assert_true(t.push(writer.write(event, flush)));
        assert_true(gunzip(t.out, false) == sent);
      }
      assert_true(t.push(writer.write("", Z_FINISH)));
      assert_true(t.end());
      assert_true(gunzip(t.out) == sent);
    }
  }
}

void a_flush_in_what_may_begin_a_secret_leaves_all_before_it(FilterTest& t) {
  for (const int flush : {Z_SYNC_FLUSH, Z_PARTIAL_FLUSH}) {
    GzipWriter writer;
    t.fresh();
    assert_true(t.push(writer.write("first,", flush)));
    assert_true(t.push(writer.write("second ghp_S3c", flush)));
    assert_true(gunzip(t.out, false) == "first,second ");
    assert_true(t.push(writer.write("x third.", flush)));
    assert_true(gunzip(t.out, false) == "first,second ghp_S3cx third.");
    assert_true(t.push(writer.write("", Z_FINISH)));
    assert_true(t.end());
    assert_true(gunzip(t.out) == "first,second ghp_S3cx third.");
    assert_int_equal(t.filter->hits(), 0);
  }
}

void several_members_are_one_text(FilterTest& t) {
  const std::string half(secret, 11);
  const std::string clean = gzip("one ") + gzip("") + gzip("two gh") + gzip("three");
  assert_true(t.pass(clean, 5));
  assert_true(t.out == clean);
  const std::string split =
      gzip("one " + half) + gzip("") + gzip(secret + half.size()) + gzip("end");
  for (const size_t most : {1, 7, 1000}) {
    assert_true(t.pass(split, most));
    assert_true(gunzip(t.out) == "one " + masked(secret) + "end");
  }
}

void a_tail_that_only_might_have_been_a_secret_is_closed_by_the_end(FilterTest& t) {
  const std::string bytes = gzip("the end is ghp_S3cr3");
  assert_true(t.push(bytes));
  assert_true(gunzip(t.out, false).empty());
  assert_true(t.end());
  assert_true(t.out == bytes);
  // A secret that is the beginning of another is certain at the end only.
  t.patterns.add(std::string(secret) + "longer");
  const std::string ends = std::string("the end is ") + secret;
  assert_true(t.pass(gzip(ends), 9));
  assert_true(gunzip(t.out) == masked(ends));
}

void a_block_too_long_to_wait_for_is_compressed_anew(FilterTest& t) {
  // One fixed block, made by hand: zlib writes none this long.
  std::string noise = random_bytes(600'000);
  std::string bits;
  unsigned hold = 0;
  int count = 0;
  const auto put = [&](unsigned code, int length) {
    for (int i = length - 1; i >= 0; --i) {
      hold |= (code >> i & 1) << count;
      if (++count == 8) {
        bits += static_cast<char>(hold);
        hold = 0;
        count = 0;
      }
    }
  };
  put(1, 1);  // the last block
  put(2, 2);  // fixed; its two bits come lowest first
  for (const char c : noise) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 144) {
      put(0x30U + byte, 8);
    } else {
      put(0x190U + byte - 144U, 9);
    }
  }
  put(0, 7);
  put(0, 7);
  const std::string trailer = gzip(noise).substr(gzip(noise).size() - 8);
  std::string bytes = std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10) + bits + trailer;
  bytes = gunzip(bytes) == noise ? bytes : "";
  assert_false(bytes.empty());
  assert_true(t.push(std::string_view(bytes).substr(0, 500'000)));
  assert_true(t.filter->altered());
  assert_true(t.out.size() > 300'000);
  assert_true(t.push(std::string_view(bytes).substr(500'000)));
  assert_true(t.end());
  assert_true(gunzip(t.out) == noise);
  assert_int_equal(t.filter->hits(), 0);
}

void a_bomb_is_worked_off_in_slices(FilterTest& t) {
  const std::string bomb = gzip(std::string(10'000'000, 'a'), 9);
  assert_true(bomb.size() < 12'000);
  assert_true(t.push(bomb));
  assert_true(t.steps >= 10'000'000 / (64 * 1024));
  assert_true(t.end());
  assert_true(t.out == bomb);
  // Empty blocks are work without text.
  std::string blocks = std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  for (int i = 0; i < 10'000; ++i) blocks += std::string("\0\0\0\xff\xff", 5);
  t.fresh();
  assert_true(t.push(blocks));
  assert_true(t.out == blocks);
  assert_true(t.steps > 10);
}

void what_is_damaged_or_cut_is_an_error(FilterTest& t) {
  const std::string bytes = gzip("some text, and " + t.prose(2000));
  for (size_t length = 1; length < bytes.size(); ++length) {
    assert_false(t.pass(bytes.substr(0, length), 100));
    assert_true(t.out.size() <= length);
  }
  for (size_t at = bytes.size() - 8; at < bytes.size(); ++at) {
    std::string bad = bytes;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    assert_false(t.pass(bad, 100));
    assert_true(t.error.find("checksum") != std::string::npos);
  }
  for (const std::string& bad :
       {bytes + "x", bytes + std::string(1, '\0'), std::string("x"), bytes + "\x1f\x8b\x07",
        "\x1f\x8b\x08\xe0" + std::string(6, '\0'), std::string(bytes).replace(10, 1, "\xff")}) {
    assert_false(t.pass(bad, 100));
    const auto again = t.filter->step(t.out);
    assert_false(again && *again);
  }
}

void what_is_damaged_behind_a_secret_does_not_end_well(FilterTest& t) {
  std::string bytes = gzip(t.prose(2000) + secret + t.prose(2000));
  bytes[bytes.size() - 5] ^= 1;
  assert_false(t.pass(bytes, 100));
  bool whole = true;
  try {
    gunzip(t.out);
  } catch (const std::exception&) {
    whole = false;
  }
  assert_false(whole);
}

void names_in_headers_pass_unless_they_hold_a_secret(FilterTest& t) {
  for (const bool bad : {false, true}) {
    std::string name = bad ? secret : "index.html";
    std::string extra = "xx";
    gz_header header{};
    header.name = reinterpret_cast<Bytef*>(name.data());
    header.comment = reinterpret_cast<Bytef*>(name.data());
    header.extra = reinterpret_cast<Bytef*>(extra.data());
    header.extra_len = 2;
    header.hcrc = 1;
    const std::string bytes = GzipWriter(6, Z_DEFAULT_STRATEGY, &header).write("text", Z_FINISH);
    assert_true(t.pass(bytes, 3) == !bad);
    if (bad) {
      assert_true(t.out.empty());
    } else {
      assert_true(t.out == bytes);
    }
  }
  const std::string endless =
      std::string("\x1f\x8b\x08\x08\0\0\0\0\0\xff", 10) + std::string(9000, 'n');
  assert_false(t.pass(endless, 100));
}

void nothing_at_all_is_nothing(FilterTest& t) {
  assert_true(t.end());
  assert_true(t.out.empty());
}

void random_bodies_in_random_pieces_give_what_the_text_gives(FilterTest& t) {
  static const int flushes[] = {Z_NO_FLUSH,      Z_NO_FLUSH, Z_SYNC_FLUSH,
                                Z_PARTIAL_FLUSH, Z_BLOCK,    Z_FULL_FLUSH};
  for (int round = 0; round < 150; ++round) {
    std::string text;
    std::string bytes;
    for (int members = 1 + static_cast<int>(t.dice() % 2); members > 0; --members) {
      GzipWriter writer(static_cast<int>(t.dice() % 10));
      for (int parts = static_cast<int>(t.dice() % 6); parts > 0; --parts) {
        std::string part = t.prose(t.dice() % 20'000);
        if (t.dice() % 6 == 0) part += std::string(secret, 1 + t.dice() % 39);
        if (t.dice() % 6 == 0) part += secret;
        text += part;
        bytes += writer.write(part, flushes[t.dice() % 6]);
      }
      bytes += writer.write("", Z_FINISH);
    }
    assert_true(t.pass(bytes, t.dice() % 2 == 0 ? 40 : 9000));
    size_t hits = 0;
    const std::string expected = scrub(t.patterns, text, &hits);
    assert_true(gunzip(t.out) == expected);
    assert_int_equal(t.filter->hits(), hits);
    if (!t.filter->altered()) assert_true(t.out == bytes);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(FilterTest, what_is_clean_passes_byte_for_byte),
      MOAT_TEST(FilterTest, a_secret_is_masked_and_the_rest_stays),
      MOAT_TEST(FilterTest, cuts_anywhere_change_nothing),
      MOAT_TEST(FilterTest, what_leaves_before_a_secret_does_not_depend_on_it),
      MOAT_TEST(FilterTest, a_flush_leaves_in_the_step_in_which_it_came),
      MOAT_TEST(FilterTest, a_flush_in_what_may_begin_a_secret_leaves_all_before_it),
      MOAT_TEST(FilterTest, several_members_are_one_text),
      MOAT_TEST(FilterTest, a_tail_that_only_might_have_been_a_secret_is_closed_by_the_end),
      MOAT_TEST(FilterTest, a_block_too_long_to_wait_for_is_compressed_anew),
      MOAT_TEST(FilterTest, a_bomb_is_worked_off_in_slices),
      MOAT_TEST(FilterTest, what_is_damaged_or_cut_is_an_error),
      MOAT_TEST(FilterTest, what_is_damaged_behind_a_secret_does_not_end_well),
      MOAT_TEST(FilterTest, names_in_headers_pass_unless_they_hold_a_secret),
      MOAT_TEST(FilterTest, nothing_at_all_is_nothing),
      MOAT_TEST(FilterTest, random_bodies_in_random_pieces_give_what_the_text_gives),
  };
  return cmocka_run_group_tests_name("proxy/gzip_filter", tests, nullptr, nullptr);
}
