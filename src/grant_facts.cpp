#include "grant_facts.h"

namespace moat {

namespace {

// Of a program that everybody has, or what a server has given to this installation alone.
constexpr std::string_view not_shown = "client_secret";

}  // namespace

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
