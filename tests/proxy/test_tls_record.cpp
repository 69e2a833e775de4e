#include "proxy/tls_record.h"

#include <algorithm>
#include <random>
#include <string>

#include "core/crypto.h"
#include "moat_test.h"
#include "record_peer.h"

using namespace moat;
using namespace moat::proxy;
using Fault = RecordLayer::Fault;

namespace {

constexpr RecordCipher ciphers[] = {RecordCipher::aes_128_gcm, RecordCipher::aes_256_gcm,
                                    RecordCipher::chacha20_poly1305};
constexpr unsigned char alert = 21;
constexpr unsigned char handshake = 22;
constexpr unsigned char data = 23;

struct RecordTest {
  std::unique_ptr<RecordLayer> layer;
  std::unique_ptr<RecordPeer> peer;
  std::string got;
  std::string wire;
  Buffer out;
  RecordLayer::Opened last;

  RecordTest() { begin(RecordCipher::aes_128_gcm); }
  void begin(RecordCipher cipher, bool is_client = true, size_t max_plain = 16384) {
    RecordKeys keys(cipher, is_client, key_block());
    keys.max_plain = max_plain;
    layer = RecordLayer::create(keys);
    if (!layer) throw std::runtime_error("libcrypto");
    peer = std::make_unique<RecordPeer>(cipher, keys);
    got = wire = "";
    out.clear();
  }
  // Gives the layer `bytes`, each piece once.
  Fault feed(const std::string& bytes) {
    wire += bytes;
    last = layer->open(wire.data(), wire.size(), out);
    got += last.plain;
    wire.erase(0, last.taken);
    return last.fault;
  }
  // What the layer has sealed, by the peer's reading: types and plain texts.
  std::string read() {
    std::string bytes(out.view());
    std::string all;
    out.clear();
    while (!bytes.empty()) {
      const std::string record = peer->open(bytes);
      if (record.empty()) return all + " and something that is no record";
      all += record;
    }
    return all;
  }
  std::string seal(unsigned char type, std::string_view plain) { return peer->seal(type, plain); }
  bool answered(const char* level_and_description) {
    return read() == std::string("\x15") + level_and_description;
  }
};

}  // namespace

static void what_it_seals_is_what_the_rfcs_say(RecordTest& t) {
  for (const RecordCipher cipher : ciphers) {
    for (const bool is_client : {true, false}) {
      t.begin(cipher, is_client);
      for (int i = 1; i <= 300; ++i) {
        assert_true(t.layer->seal("record " + std::to_string(i), t.out));
        t.got = t.read();
        assert_true(t.got == "\x17record " + std::to_string(i));
        // Finished had the nonce 0; never the same twice.
        const bool counts =
            cipher == RecordCipher::chacha20_poly1305 ||
            t.peer->last_explicit_nonce == RecordPeer::number(static_cast<uint64_t>(i));
        assert_true(counts);
      }
    }
  }
}

static void what_the_rfcs_say_is_what_it_opens(RecordTest& t) {
  for (const RecordCipher cipher : ciphers) {
    for (const bool is_client : {true, false}) {
      t.begin(cipher, is_client);
      for (int i = 0; i < 300; ++i) {
        const std::string plain(static_cast<size_t>(i % 50 + 1), static_cast<char>('a' + i % 26));
        t.got = "";
        assert_int_equal(t.feed(t.seal(data, plain)), Fault::none);
        assert_true(t.got == plain);
      }
      assert_true(t.out.empty() && t.wire.empty());
    }
  }
}

static void any_cut_gives_the_same_bytes(RecordTest& t) {
  std::minstd_rand dice(11);
  for (const RecordCipher cipher : ciphers) {
    t.begin(cipher);
    std::string all;
    std::string sealed;
    for (int i = 0; i < 200; ++i) {
      const size_t size = dice() % 4 == 0 ? dice() % 16385 : dice() % 300 + 1;
      const std::string plain = random_bytes(size);
      sealed += t.seal(data, plain);
      all += plain;
    }
    bool fine = true;
    while (!sealed.empty() && fine) {
      const size_t cut =
          std::min<size_t>(dice() % 3 == 0 ? dice() % 70000 : dice() % 9, sealed.size());
      fine = t.feed(sealed.substr(0, cut)) == Fault::none;
      sealed.erase(0, cut);
    }
    const bool same = fine && t.got == all && t.wire.empty();
    std::string().swap(all);
    std::string().swap(sealed);
    assert_true(same);
  }
}

static void long_texts_are_cut_into_records_that_the_peer_takes(RecordTest& t) {
  const struct {
    size_t max_plain;
    size_t size;
    size_t records;
  } cases[] = {
      {16384, 16384, 1}, {16384, 16385, 2}, {16384, 40000, 3}, {512, 1025, 3}, {512, 0, 0}};
  for (const auto& c : cases) {
    t.begin(RecordCipher::aes_256_gcm, true, c.max_plain);
    const std::string plain(c.size, 'x');
    assert_true(t.layer->seal(plain, t.out));
    size_t records = 0;
    std::string bytes(t.out.view());
    while (!bytes.empty()) {
      const std::string record = t.peer->open(bytes);
      if (record.size() < 2 || record.size() > c.max_plain + 1) break;
      t.got += record.substr(1);
      ++records;
    }
    const bool whole = bytes.empty() && t.got == plain;
    std::string().swap(bytes);
    assert_true(whole);
    assert_int_equal(records, c.records);
  }
}

static void two_thousand_records_of_a_byte_in_one_piece_are_all_read(RecordTest& t) {
  std::string sealed;
  for (int i = 0; i < 2000; ++i) sealed += t.seal(data, "x");
  const Fault fault = t.feed(sealed);
  std::string().swap(sealed);
  assert_int_equal(fault, Fault::none);
  assert_int_equal(t.last.plain.size(), 2000);
}

static void a_changed_bit_anywhere_is_found_and_told(RecordTest& t) {
  for (const RecordCipher cipher : ciphers) {
    t.begin(cipher);
    const size_t size = t.seal(data, "credential").size();
    for (size_t at = 0; at < size; ++at) {
      t.begin(cipher);
      std::string record = t.seal(data, "credential");
      record[at] = static_cast<char>(record[at] ^ 0x20);
      const Fault fault = t.feed(record);
      std::string().swap(record);
      // A longer one is waited for: that its end never comes is for others to notice.
      const bool waits = at == 3 || at == 4;
      assert_true(fault != Fault::none || (waits && t.last.taken == 0));
      assert_string_equal(t.got.c_str(), "");
      if (at > 4) {
        assert_int_equal(fault, Fault::damaged);
        assert_true(t.answered("\x02\x14"));
      }
    }
  }
}

static void records_have_their_place(RecordTest& t) {
  for (const RecordCipher cipher : ciphers) {
    t.begin(cipher);
    const std::string first = t.seal(data, "first");
    const std::string second = t.seal(data, "second");
    assert_int_equal(t.feed(second), Fault::damaged);
    t.begin(cipher);
    assert_int_equal(t.feed(first), Fault::none);
    assert_int_equal(t.feed(first), Fault::damaged);
    t.begin(cipher);
    assert_int_equal(t.feed(first + second + first), Fault::damaged);
    assert_string_equal(t.got.c_str(), "firstsecond");  // what was in order is given
    // Nor is what we said ourselves ours to hear.
    t.begin(cipher);
    assert_true(t.layer->seal("echo", t.out));
    assert_int_equal(t.feed(std::string(t.out.view())), Fault::damaged);
  }
}

static void what_no_record_can_be_is_refused_before_it_is_whole(RecordTest& t) {
  using namespace std::string_literals;
  const struct {
    std::string header;
    Fault fault;
    const char* told;
  } cases[] = {
      {"\x17\x03\x03\x40\x19"s, Fault::oversized, "\x02\x16"},
      {"\x17\x03\x03\xff\xff"s, Fault::oversized, "\x02\x16"},
      {"\x17\x03\x03\x00\x17"s, Fault::malformed, "\x02\x32"},
      {"\x17\x03\x03\x00\x00"s, Fault::malformed, "\x02\x32"},
      {"\x17\x03\x01\x00\x20"s, Fault::other_version, "\x02\x46"},
      {"\x17\x02\x03\x00\x20"s, Fault::other_version, "\x02\x46"},
      {"GET /"s, Fault::other_version, "\x02\x46"},
      // An alert in plain text, from one who lost the keys, or from one who never had them.
      {"\x15\x03\x03\x00\x02\x02\x28"s, Fault::malformed, "\x02\x32"},
  };
  for (const auto& c : cases) {
    t.begin(RecordCipher::aes_128_gcm);
    assert_int_equal(t.feed(c.header), c.fault);
    assert_true(t.answered(c.told));
    assert_non_null(strstr(fault_text(c.fault), "is "));
  }
  // The longest that is allowed, and one byte more, both well sealed.
  t.begin(RecordCipher::chacha20_poly1305);
  assert_int_equal(t.feed(t.seal(data, std::string(16384, 'x'))), Fault::none);
  assert_int_equal(t.got.size(), 16384);
  assert_int_equal(t.feed(t.seal(data, std::string(16385, 'x'))), Fault::oversized);
}

static void types_that_do_not_follow_a_handshake_end_the_session(RecordTest& t) {
  for (const int type : {20, 24, 0, 255}) {
    t.begin(RecordCipher::aes_128_gcm);
    assert_int_equal(t.feed(t.seal(static_cast<unsigned char>(type), "\x01")), Fault::out_of_place);
    assert_true(t.answered("\x02\x0a"));
  }
}

static void a_new_handshake_is_declined_and_life_goes_on(RecordTest& t) {
  const std::string hello = t.seal(handshake, std::string(4, '\0'));
  assert_int_equal(t.feed(hello + t.seal(data, "more")), Fault::none);
  assert_string_equal(t.got.c_str(), "more");
  assert_true(t.answered("\x01\x64"));
}

static void records_that_bring_nothing_are_borne_but_not_for_ever(RecordTest& t) {
  for (const unsigned char type : {data, handshake, alert}) {
    t.begin(RecordCipher::aes_128_gcm);
    const std::string_view idle = type == data ? "" : type == alert ? "\x01\x5a" : "hello";
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 32; ++i) assert_int_equal(t.feed(t.seal(type, idle)), Fault::none);
      assert_int_equal(t.feed(t.seal(data, "x")), Fault::none);
      t.read();
    }
    for (int i = 0; i < 32; ++i) assert_int_equal(t.feed(t.seal(type, idle)), Fault::none);
    t.read();
    assert_int_equal(t.feed(t.seal(type, idle)), Fault::annoying);
    assert_true(t.answered("\x02\x0a"));
    assert_string_equal(t.got.c_str(), "xxx");
  }
}

static void a_close_notify_ends_what_is_read(RecordTest& t) {
  std::string end = t.seal(data, "last");
  end += t.seal(alert, {"\x01\x00", 2});
  assert_int_equal(t.feed(end + "whatever follows"), Fault::none);
  assert_true(t.last.closed);
  assert_int_equal(t.last.taken, end.size());
  assert_string_equal(t.got.c_str(), "last");
  assert_true(t.out.empty());
  t.layer->close_notify(t.out);
  t.got = t.read();
  assert_true(t.got == std::string("\x15\x01\x00", 3));
}

static void alerts_are_heard(RecordTest& t) {
  const struct {
    std::string_view body;
    Fault fault;
    int number;
    const char* name;
  } cases[] = {
      {{"\x02\x14", 2}, Fault::alerted, 20, "bad record MAC"},
      {{"\x02\x28", 2}, Fault::alerted, 40, "handshake failure: nothing in common"},
      {{"\x07\x63", 2}, Fault::alerted, 99, "number 99"},  // a level that there is not
      {{"\x01\x5a", 2}, Fault::none, 0, nullptr},
      {{"\x01", 1}, Fault::malformed, 0, nullptr},
      {{"", 0}, Fault::malformed, 0, nullptr},
      {{"\x01\x00\x00", 3}, Fault::malformed, 0, nullptr},
  };
  for (const auto& c : cases) {
    t.begin(RecordCipher::aes_128_gcm);
    assert_int_equal(t.feed(t.seal(alert, c.body)), c.fault);
    assert_false(t.last.closed);
    assert_int_equal(t.last.alert, c.number);
    // An alert is not answered by one.
    assert_int_equal(t.out.empty(), c.fault != Fault::malformed);
    if (c.name != nullptr) assert_string_equal(alert_text(t.last.alert).c_str(), c.name);
  }
}

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(RecordTest, what_it_seals_is_what_the_rfcs_say),
      MOAT_TEST(RecordTest, what_the_rfcs_say_is_what_it_opens),
      MOAT_TEST(RecordTest, any_cut_gives_the_same_bytes),
      MOAT_TEST(RecordTest, long_texts_are_cut_into_records_that_the_peer_takes),
      MOAT_TEST(RecordTest, two_thousand_records_of_a_byte_in_one_piece_are_all_read),
      MOAT_TEST(RecordTest, a_changed_bit_anywhere_is_found_and_told),
      MOAT_TEST(RecordTest, records_have_their_place),
      MOAT_TEST(RecordTest, what_no_record_can_be_is_refused_before_it_is_whole),
      MOAT_TEST(RecordTest, types_that_do_not_follow_a_handshake_end_the_session),
      MOAT_TEST(RecordTest, a_new_handshake_is_declined_and_life_goes_on),
      MOAT_TEST(RecordTest, records_that_bring_nothing_are_borne_but_not_for_ever),
      MOAT_TEST(RecordTest, a_close_notify_ends_what_is_read),
      MOAT_TEST(RecordTest, alerts_are_heard),
  };
  return cmocka_run_group_tests_name("proxy/tls_record", tests, nullptr, nullptr);
}
