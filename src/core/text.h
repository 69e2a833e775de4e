// Small things with text: encodings, splitting, strict numbers. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace moat {

[[gnu::format(printf, 1, 2)]] std::string format(const char* format, ...);

std::string hex(std::string_view bytes);  // lower case
void append_hex(std::string& out, std::string_view bytes);
Result<std::string> from_hex(std::string_view text);  // either case
int hex_digit(char c);                                // of either case; -1: it is none
// RFC 3986 2.1; of a form or a query '+' is a space. What is no escape stays as it is.
std::string percent_decoded(std::string_view text, bool plus_is_space);
std::string base64(std::string_view bytes);              // RFC 4648 section 4, padded
std::string base64url(std::string_view bytes);           // section 5, unpadded
Result<std::string> from_base64(std::string_view text);  // strict: section 4, padded

std::vector<std::string_view> split(std::string_view text, char separator);  // keeps empty parts
std::string_view trim(std::string_view text);                                // spaces, tabs, CR, LF
std::string lower(std::string_view text);                                    // ASCII only
bool equals_ignoring_case(std::string_view a, std::string_view b);           // ASCII only
bool ends_with_ignoring_case(std::string_view text, std::string_view suffix);

// The whole text must be a decimal number within [low, high]: no sign, space or leading '+'.
std::optional<uint64_t> parse_number(std::string_view text, uint64_t low, uint64_t high);

bool is_utf8(std::string_view text);
// Bytes from outside, made fit for a terminal or a log: control characters (but \n and \t when
// `keep_lines`), and bytes that are not UTF-8, become \x1b and the like.
std::string printable(std::string_view bytes, bool keep_lines = false);

// The candidate nearest to `word`, if one is near enough to be what was meant.
std::optional<std::string_view> nearest(std::string_view word,
                                        const std::vector<std::string_view>& candidates);

// 1.5 KiB and the like, for people.
std::string human_bytes(uint64_t count);

}  // namespace moat
