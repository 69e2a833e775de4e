#include "proxy/proxy_v2.h"

#include "core/text.h"

#include "moat_test.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Nothing;

namespace {

// As HAProxy 2.6 sent them with send-proxy-v2: over IPv4 and IPv6, with the checksum, the name and
// an empty unique id, and for a check of health.
const std::string from_ipv4 = "0d0a0d0a000d0a515549540a2111000c7f0000017f000001df145209";
const std::string from_ipv6 =
    "0d0a0d0a000d0a515549540a2121002400000000000000000000000000000001"
    "00000000000000000000000000000001cbae5209";
const std::string with_name =
    "0d0a0d0a000d0a515549540a211100287f0000017f00000192ec520a"
    "03000483128196"
    "02000f6170692e6578616d706c652e636f6d"
    "050000";
const std::string of_health = "0d0a0d0a000d0a515549540a20000007030004a9b87e8f";

std::string unhex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return bytes;
}

// A header for 192.0.2.1:1 to 198.18.0.5:443, with these TLVs.
std::string header_with(const std::string& tlvs) {
  std::string bytes = unhex("0d0a0d0a000d0a515549540a2111") + '\0' + '\0';
  bytes += unhex("c0000201c6120005000101bb") + tlvs;
  const size_t size = bytes.size() - proxy_v2_prefix;
  bytes[14] = static_cast<char>(size >> 8);
  bytes[15] = static_cast<char>(size & 0xff);
  return bytes;
}

std::string tlv(char type, const std::string& value) {
  std::string bytes(1, type);
  bytes += static_cast<char>(value.size() >> 8);
  bytes += static_cast<char>(value.size() & 0xff);
  return bytes + value;
}

std::string refusal(const std::string& header) {
  const auto parsed = parse_proxy_v2(header);
  return parsed ? "" : parsed.error().message;
}

void headers_of_a_real_sender_are_read(Nothing&) {
  const auto four = parse_proxy_v2(unhex(from_ipv4));
  assert_true(four.has_value());
  assert_string_equal(four->source.text().c_str(), "127.0.0.1:57108");
  assert_string_equal(four->destination.text().c_str(), "127.0.0.1:21001");
  assert_string_equal(four->authority.c_str(), "");
  const auto six = parse_proxy_v2(unhex(from_ipv6));
  assert_true(six.has_value());
  assert_string_equal(six->destination.text().c_str(), "[::1]:21001");
  const auto named = parse_proxy_v2(unhex(with_name));
  assert_true(named.has_value());
  assert_string_equal(named->authority.c_str(), "api.example.com");
  assert_false(named->local);
  const auto health = parse_proxy_v2(unhex(of_health));
  assert_true(health.has_value());
  assert_true(health->local);
}

void the_checksum_is_castagnolis(Nothing&) {
  // RFC 3720 B.4, and the check value of the catalogue of CRCs.
  assert_int_equal(crc32c("123456789"), 0xe3069283);
  assert_int_equal(crc32c(std::string(32, '\0')), 0x8a9136aa);
  assert_int_equal(crc32c(std::string(32, '\xff')), 0x62a8ab43);
}

void a_flipped_bit_is_found_by_the_checksum(Nothing&) {
  const std::string good = unhex(with_name);
  constexpr size_t type_of_checksum = 28;  // of another type it is none
  for (size_t i = proxy_v2_prefix; i < good.size(); ++i) {
    if (i == type_of_checksum) continue;
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    const bool refused = !parse_proxy_v2(bad).has_value();
    assert_true(refused);
  }
}

void no_part_of_a_header_is_one(Nothing&) {
  const std::string good = unhex(with_name);
  for (size_t size = 0; size < good.size(); ++size)
    assert_string_not_equal(refusal(good.substr(0, size)).c_str(), "");
  assert_string_not_equal(refusal(good + "x").c_str(), "");
}

void what_is_no_header_of_version_2_is_refused(Nothing&) {
  const std::string good = unhex(from_ipv4);
  struct Change {
    size_t place;
    char byte;
    const char* why;
  };
  for (const Change& change : {Change{0, 'P', "it begins otherwise"},
                               {11, ' ', "it begins otherwise"},
                               {12, '\x11', "its version is not 2"},
                               {12, '\x31', "its version is not 2"},
                               {12, '\x22', "its command is neither LOCAL nor PROXY"},
                               {13, '\x00', "it is not for TCP over IPv4 or IPv6"},
                               {13, '\x12', "it is not for TCP over IPv4 or IPv6"},
                               {13, '\x31', "it is not for TCP over IPv4 or IPv6"},
                               {13, '\x21', "its addresses are cut short"},
                               {15, '\x0b', "its addresses are cut short"},
                               {14, '\x40', "larger than 588 bytes"}}) {
    std::string bad = good;
    bad[change.place] = change.byte;
    const bool same = refusal(bad).find(change.why) != std::string::npos;
    if (!same) print_error("got '%s', not '%s'\n", refusal(bad).c_str(), change.why);
    assert_true(same);
  }
  assert_string_not_equal(refusal("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n").c_str(), "");
  std::string no_port = good;
  no_port[26] = no_port[27] = '\0';
  assert_string_not_equal(refusal(no_port).c_str(), "");
}

void tlvs_are_read_strictly(Nothing&) {
  const std::string name = tlv(2, "API.Example.com.");
  const auto read = parse_proxy_v2(header_with(tlv(4, "padding") + name + tlv('\xea', "theirs")));
  assert_true(read.has_value());
  assert_string_equal(read->authority.c_str(), "api.example.com");
  for (const std::string& bad :
       {name + name, tlv(2, ""), tlv(2, "a b"), tlv(2, "a.com:443"), tlv(2, "8.8.8.8"),
        tlv(2, "[::1]"), tlv(2, "user@a.com"), tlv(2, std::string("a.com\0.b.com", 12)),
        tlv(2, std::string(254, 'a')), name.substr(0, 2), name.substr(0, 9), std::string("\x05", 1),
        tlv(3, "123"), tlv(3, "1234"), tlv(3, "12345")}) {
    assert_string_not_equal(refusal(header_with(bad)).c_str(), "");
  }
  std::string summed = header_with(tlv(3, std::string(4, '\0')));
  const uint32_t sum = crc32c(summed);
  for (size_t i = 0; i < 4; ++i)
    summed[summed.size() - 4 + i] = static_cast<char>(sum >> (24 - 8 * i) & 0xff);
  assert_string_equal(refusal(summed).c_str(), "");
  assert_string_not_equal(
      refusal(header_with(summed.substr(summed.size() - 7) + summed.substr(summed.size() - 7)))
          .c_str(),
      "");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Nothing, headers_of_a_real_sender_are_read),
      MOAT_TEST(Nothing, the_checksum_is_castagnolis),
      MOAT_TEST(Nothing, a_flipped_bit_is_found_by_the_checksum),
      MOAT_TEST(Nothing, no_part_of_a_header_is_one),
      MOAT_TEST(Nothing, what_is_no_header_of_version_2_is_refused),
      MOAT_TEST(Nothing, tlvs_are_read_strictly),
  };
  return cmocka_run_group_tests_name("proxy/proxy_v2", tests, nullptr, nullptr);
}
