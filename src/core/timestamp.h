// Time stamps of RFC 3161: what an authority is asked, and what its answer says. No sockets.
//
// Whether the token is rightly signed, and by whom, is not looked at here: that wants the
// authority's roots and the rules of CMS, and openssl-ts(1) has both. What is checked is that the
// answer is well-formed DER, granted, and about what was asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/crypto.h"
#include "core/result.h"

namespace moat {

inline constexpr const char* timestamp_query_type = "application/timestamp-query";

struct TimestampRequest {
  Digest imprint{};   // SHA-256 of what is to be stamped
  std::string nonce;  // 8 bytes, as a positive INTEGER has them
  std::string der;    // TimeStampReq; asks for the authority's certificate as well
};
// With a new nonce.
TimestampRequest timestamp_request(const Digest& imprint);

struct Timestamp {
  Digest imprint{};
  std::string nonce;    // the contents of the INTEGER; empty: none
  int64_t time_ns = 0;  // genTime, since 1970
};

// A TimeStampResp that holds a token over a SHA-256 digest. Errc::refused where the authority has
// granted none (the message says why, as far as it has said), Errc::invalid for all else.
Result<Timestamp> parse_timestamp(std::string_view der);
// The same, and it is over `imprint` (Errc::tampered).
Result<Timestamp> check_timestamp(std::string_view der, const Digest& imprint);
// The same, and it answers this very request (Errc::tampered).
Result<Timestamp> check_timestamp(std::string_view der, const TimestampRequest& request);

}  // namespace moat
