#include "core/timestamp.h"

#include <mbedtls/asn1.h>
#include <mbedtls/asn1write.h>

#include <array>
#include <cassert>
#include <cstring>
#include <optional>

#include "core/clock.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr int tag_sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
constexpr int tag_set = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET;
constexpr int tag_0 = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED;
constexpr int tag_1 = tag_0 | 1;

constexpr std::string_view oid_sha256 = "\x60\x86\x48\x01\x65\x03\x04\x02\x01";
constexpr std::string_view oid_signed_data = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
constexpr std::string_view oid_tst_info = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04";

constexpr size_t nonce_bytes = 8;
constexpr size_t longest_reason = 200;

// Elements of DER, one after the other.
class Der {
 public:
  explicit Der(std::string_view bytes) : rest_(bytes) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  // The contents of the next element if it is of that tag; else nothing is taken.
  std::optional<std::string_view> take(int tag) {
    // mbedTLS wants it so, and changes nothing.
    auto* at = reinterpret_cast<unsigned char*>(const_cast<char*>(rest_.data()));
    unsigned char* const end = at + rest_.size();
    size_t size = 0;
    if (mbedtls_asn1_get_tag(&at, end, &size, tag) != 0) return std::nullopt;
    const std::string_view contents(reinterpret_cast<const char*>(at), size);
    rest_ = {contents.data() + size, static_cast<size_t>(end - at) - size};
    return contents;
  }
  bool take_if(int tag) { return take(tag).has_value(); }
  // The next element has that tag and these contents.
  bool take_exactly(int tag, std::string_view contents) { return take(tag) == contents; }

 private:
  std::string_view rest_;
};

Error malformed(const char* what) {
  return error(Errc::invalid, "the answer is no time stamp of RFC 3161: %s", what);
}

// PKIStatusInfo: granted, with changes or without, or why not.
Result<void> check_status(Der info) {
  const auto status = info.take(MBEDTLS_ASN1_INTEGER);
  if (!status || status->size() != 1) return malformed("it has no status");
  if (*status == std::string_view("\0", 1) || *status == "\1") return {};
  std::string reason = format("status %d", static_cast<signed char>(status->front()));
  if (const auto texts = info.take(tag_sequence)) {
    if (const auto text = Der(*texts).take(MBEDTLS_ASN1_UTF8_STRING))
      reason = printable(text->substr(0, longest_reason));
  }
  return error(Errc::refused, "the time-stamping authority refuses: %s", reason.c_str());
}

// TSTInfo, out of a ContentInfo of SignedData.
Result<std::string_view> find_info(Der token) {
  if (!token.take_exactly(MBEDTLS_ASN1_OID, oid_signed_data))
    return malformed("its token is not SignedData");
  const auto content = token.take(tag_0);
  if (!content || !token.at_end()) return malformed("its token has no content");
  Der wrapped(*content);
  const auto data = wrapped.take(tag_sequence);
  if (!data || !wrapped.at_end()) return malformed("its token has no content");

  Der signed_data(*data);
  if (!signed_data.take_if(MBEDTLS_ASN1_INTEGER) || !signed_data.take_if(tag_set))
    return malformed("its SignedData does not begin as such");
  const auto encapsulated = signed_data.take(tag_sequence);
  if (!encapsulated) return malformed("its SignedData holds nothing");
  signed_data.take_if(tag_0);  // certificates
  signed_data.take_if(tag_1);  // revocation lists
  const auto signers = signed_data.take(tag_set);
  if (!signers || !signed_data.at_end()) return malformed("its SignedData does not end as such");
  Der signer(*signers);
  if (!signer.take_if(tag_sequence) || !signer.at_end())
    return malformed("it is not signed by one signer");

  Der inner(*encapsulated);
  if (!inner.take_exactly(MBEDTLS_ASN1_OID, oid_tst_info))
    return malformed("what is signed is no TSTInfo");
  const auto octets = inner.take(tag_0);
  if (!octets || !inner.at_end()) return malformed("what is signed is not there");
  Der string(*octets);
  const auto bytes = string.take(MBEDTLS_ASN1_OCTET_STRING);
  if (!bytes || !string.at_end()) return malformed("what is signed is not there");
  Der whole(*bytes);
  const auto info = whole.take(tag_sequence);
  if (!info || !whole.at_end()) return malformed("what is signed is no TSTInfo");
  return *info;
}

// "20231114221320Z", with a fraction of a second or without.
std::optional<int64_t> parse_general_time(std::string_view text) {
  constexpr size_t whole_seconds = 14;
  constexpr size_t longest_fraction = 9;
  if (text.size() <= whole_seconds || text.back() != 'Z') return std::nullopt;
  const std::string_view fraction = text.substr(whole_seconds, text.size() - whole_seconds - 1);
  const std::string_view digits = fraction.empty() ? fraction : fraction.substr(1);
  if (!fraction.empty() && (fraction[0] != '.' || digits.empty())) return std::nullopt;
  if (digits.size() > longest_fraction) return std::nullopt;
  for (const std::string_view part : {text.substr(0, whole_seconds), digits})
    if (part.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  const auto at = [text](size_t from, size_t count) {
    return std::string(text.substr(from, count));
  };
  const auto time = parse_rfc3339(at(0, 4) + "-" + at(4, 2) + "-" + at(6, 2) + "T" + at(8, 2) +
                                  ":" + at(10, 2) + ":" + at(12, 2) + std::string(fraction) + "Z");
  return time ? std::optional<int64_t>(*time) : std::nullopt;
}

Result<Digest> read_imprint(Der imprint) {
  const auto algorithm = imprint.take(tag_sequence);
  const auto digest = imprint.take(MBEDTLS_ASN1_OCTET_STRING);
  if (!algorithm || !digest || !imprint.at_end()) return malformed("its imprint is malformed");
  Der name(*algorithm);
  if (!name.take_exactly(MBEDTLS_ASN1_OID, oid_sha256))
    return malformed("its imprint is not by SHA-256");
  name.take_if(MBEDTLS_ASN1_NULL);
  Digest result{};
  if (!name.at_end() || digest->size() != result.size())
    return malformed("its imprint is malformed");
  std::memcpy(result.data(), digest->data(), result.size());
  return result;
}

Result<Timestamp> read_info(Der info) {
  if (!info.take_exactly(MBEDTLS_ASN1_INTEGER, "\1")) return malformed("its version is not 1");
  if (!info.take_if(MBEDTLS_ASN1_OID)) return malformed("it names no policy");
  const auto imprint = info.take(tag_sequence);
  if (!imprint) return malformed("it has no imprint");
  auto digest = read_imprint(Der(*imprint));
  if (!digest) return digest.error();
  if (!info.take_if(MBEDTLS_ASN1_INTEGER)) return malformed("it has no serial number");
  const auto time = info.take(MBEDTLS_ASN1_GENERALIZED_TIME);
  const auto time_ns = time ? parse_general_time(*time) : std::nullopt;
  if (!time_ns) return malformed("it has no time");
  info.take_if(tag_sequence);          // accuracy
  info.take_if(MBEDTLS_ASN1_BOOLEAN);  // ordering
  const auto nonce = info.take(MBEDTLS_ASN1_INTEGER);
  info.take_if(tag_0);  // the authority's name
  info.take_if(tag_1);  // extensions
  if (!info.at_end()) return malformed("its TSTInfo does not end as such");
  return Timestamp{*digest, std::string(nonce.value_or("")), *time_ns};
}

// Elements written from the last to the first, as mbedTLS does it, into room that is enough.
class DerWriter {
 public:
  void add(int size) {
    assert(size >= 0);
    size_ += static_cast<size_t>(size);
  }
  // What was written since the writer had `before` bytes becomes the contents of an element.
  void wrap(size_t before, int tag) {
    const size_t contents = size_ - before;
    add(mbedtls_asn1_write_len(&at_, room_.data(), contents));
    add(mbedtls_asn1_write_tag(&at_, room_.data(), static_cast<unsigned char>(tag)));
  }
  void raw(std::string_view bytes) {
    add(mbedtls_asn1_write_raw_buffer(
        &at_, room_.data(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
  }
  void element(int tag, std::string_view contents) {
    const size_t before = size_;
    raw(contents);
    wrap(before, tag);
  }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::string text() const { return {reinterpret_cast<const char*>(at_), size_}; }

 private:
  std::array<unsigned char, 128> room_{};
  unsigned char* at_ = room_.data() + room_.size();
  size_t size_ = 0;
};

}  // namespace

TimestampRequest timestamp_request(const Digest& imprint) {
  TimestampRequest request;
  request.imprint = imprint;
  // Positive, and of that many bytes whatever chance says.
  request.nonce = random_bytes(nonce_bytes);
  request.nonce[0] = static_cast<char>((request.nonce[0] & 0x3f) | 0x40);

  DerWriter der;
  der.element(MBEDTLS_ASN1_BOOLEAN, "\xff");  // certReq
  der.element(MBEDTLS_ASN1_INTEGER, request.nonce);
  const size_t after_imprint = der.size();
  der.element(MBEDTLS_ASN1_OCTET_STRING, view(imprint));
  const size_t after_algorithm = der.size();
  der.element(MBEDTLS_ASN1_NULL, "");
  der.element(MBEDTLS_ASN1_OID, oid_sha256);
  der.wrap(after_algorithm, tag_sequence);
  der.wrap(after_imprint, tag_sequence);
  der.element(MBEDTLS_ASN1_INTEGER, "\1");  // version
  der.wrap(0, tag_sequence);
  request.der = der.text();
  return request;
}

Result<Timestamp> parse_timestamp(std::string_view der) {
  Der all(der);
  const auto response = all.take(tag_sequence);
  if (!response || !all.at_end()) return malformed("it is not one DER sequence");
  Der parts(*response);
  const auto status = parts.take(tag_sequence);
  if (!status) return malformed("it has no status");
  if (auto granted = check_status(Der(*status)); !granted) return granted.error();
  const auto token = parts.take(tag_sequence);
  if (!token || !parts.at_end()) return malformed("it has no token");
  const auto info = find_info(Der(*token));
  if (!info) return info.error();
  return read_info(Der(*info));
}

Result<Timestamp> check_timestamp(std::string_view der, const Digest& imprint) {
  auto stamp = parse_timestamp(der);
  if (stamp && stamp->imprint != imprint)
    return error(Errc::tampered, "the time stamp is over something else");
  return stamp;
}

Result<Timestamp> check_timestamp(std::string_view der, const TimestampRequest& request) {
  auto stamp = check_timestamp(der, request.imprint);
  if (stamp && stamp->nonce != request.nonce)
    return error(Errc::tampered, "the time stamp answers another request: its nonce is not ours");
  return stamp;
}

}  // namespace moat
