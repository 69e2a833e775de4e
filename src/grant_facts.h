// What is shown of a stored credential: the facts beside the secret, and nothing of the secret.
#pragma once

#include <string>

#include "core/json.h"
#include "store/vault.h"

namespace moat {

// `facts` without "client_secret", with "name", "profile" ("" is the default), and "type": "oauth"
// for what is renewed by itself, "token" for what is as it is, unless the facts say better.
Json shown_facts(const store::Sealed& sealed);

// Four characters of a long secret tell two apart, and give nothing away; "" of a short one.
std::string last_four(const Secret& secret);

// One of them for people: "-" where there is none, true and false as yes and no.
std::string shown_fact(const Json& facts, std::string_view key);

}  // namespace moat
