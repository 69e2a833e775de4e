#include "grant_facts.h"

namespace moat {

namespace {

// Known to all who have the program that it belongs to; but it looks as if it were not.
constexpr std::string_view not_shown = "client_secret";

}  // namespace

Json known_facts(const store::Sealed& sealed) {
  Json known = Json::object();
  for (const Json::View& fact : sealed.facts.view().elements()) {
    if (const std::string key = fact.key(); key != not_shown) known.set(key, fact.clone());
  }
  return known;
}

Json shown_facts(const store::Sealed& sealed) {
  Json shown = Json::object();
  shown.set("name", sealed.name).set("profile", sealed.profile);
  shown.set("type", sealed.refresh_token.empty() ? "token" : "oauth");
  for (const Json::View& fact : sealed.facts.view().elements()) {
    const std::string key = fact.key();
    if (key != "name" && key != "profile" && key != not_shown) shown.set(key, fact.clone());
  }
  return shown;
}

std::string last_four(const Secret& secret) {
  return std::string(secret.size() < 20 ? "" : secret.reveal().substr(secret.size() - 4));
}

std::string shown_fact(const Json& facts, std::string_view key) {
  const Json::View fact = facts[key];
  if (!fact.exists()) return "-";
  if (fact.is_string()) return fact.string().empty() ? "-" : fact.string();
  const std::string text = fact.text();
  if (text == "true") return "yes";
  return text == "false" ? "no" : text;
}

}  // namespace moat
