// An exchange, as run.cpp keeps it, told to a person. All of it comes from outside: every word is
// made printable.
#pragma once

#include <string>

#include "core/json.h"

namespace moat {

// One line: time, status, method, URL, bytes, duration, grants, refusal. No newline.
std::string exchange_line(const Json::View& exchange);
// What -v adds: addresses, times, headers and what is kept of bodies, in lines, with newlines.
std::string exchange_details(const Json::View& exchange);
// "https://api.example.com/user", the port where it is not the scheme's own.
std::string exchange_url(const Json::View& exchange);
// The same as it came, for programs.
std::string exchange_address(const Json::View& exchange);

}  // namespace moat
