#include "vault_access.h"

#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "command.h"
#include "core/text.h"
#include "prompt.h"
#include "store/private_file.h"
#include "user_config.h"

namespace moat {
namespace {

constexpr size_t max_passphrase = 1024;
constexpr size_t least_passphrase = 8;

const char* variable(const char* name) {
  const char* const value = getenv(name);
  return value == nullptr || *value == '\0' ? nullptr : value;
}

Result<Secret> passphrase_in_file(const char* name) {
  const auto bytes = store::read_private_file(variable(name), max_passphrase);
  if (!bytes) return bytes.error().in(name);
  std::string_view text = bytes->reveal();
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return error(Errc::invalid, "%s: the file is empty", name);
  return Secret(text);
}

Result<Secret> passphrase_at_terminal(const char* question) {
  auto secret = ask_secret(question);
  if (secret) return std::move(*secret);
  return error(Errc::refused,
               "the vault is locked: put its passphrase into a file of your own, mode 0600, that "
               "MOAT_PASSPHRASE_FILE names, or run moat on a terminal");
}

Result<Secret> new_passphrase() {
  auto first = passphrase_at_terminal("New passphrase for the vault: ");
  if (!first) return first;
  const auto second = passphrase_at_terminal("The same again: ");
  if (!second) return second.error();
  if (!second->equals(first->reveal())) return error(Errc::invalid, "the two are not the same");
  return first;
}

// Remembers what it was asked for: while one passphrase takes the place of another, the variable
// for the old one is not that of the new one too.
class Passphrases {
 public:
  Result<Secret> operator()(store::PassphraseFor what) {
    using store::PassphraseFor;
    constexpr const char* name = "MOAT_PASSPHRASE_FILE";
    constexpr const char* new_name = "MOAT_NEW_PASSPHRASE_FILE";
    if (what == PassphraseFor::opening) {
      *opened_ = true;
      return variable(name) != nullptr ? passphrase_in_file(name)
                                       : passphrase_at_terminal("Passphrase of the vault: ");
    }
    const bool told = variable(new_name) != nullptr || (!*opened_ && variable(name) != nullptr);
    auto passphrase = told ? passphrase_in_file(variable(new_name) != nullptr ? new_name : name)
                      : what == PassphraseFor::choosing
                          ? new_passphrase()
                          : passphrase_at_terminal("The new passphrase, as chosen before: ");
    if (passphrase && what == PassphraseFor::choosing && passphrase->size() < least_passphrase)
      return error(Errc::invalid, "a passphrase has at least %zu characters", least_passphrase);
    return passphrase;
  }

 private:
  std::shared_ptr<bool> opened_ = std::make_shared<bool>(false);
};

struct Opened {
  std::string root;
  std::optional<store::Vault> vault;
  std::optional<Error> refusal;
};

Opened& opened() {
  static Opened state;
  return state;
}

}  // namespace

std::string profile_of(const Arguments& arguments) {
  const char* const usual = variable("MOAT_PROFILE");
  return arguments.value("profile").value_or(usual == nullptr ? "" : usual);
}

Result<store::KeyAccess> vault_access(const Home& home) {
  const auto config = user_config(home.root);
  if (!config) return config.error();
  store::KeyAccess access;
  access.wanted = config->vault_key;
  access.passphrase = Passphrases();
  return access;
}

Result<store::Vault*> open_vault(const Home& home) {
  Opened& state = opened();
  if (state.root != home.root) state = {home.root, std::nullopt, std::nullopt};
  if (state.vault) return &*state.vault;
  if (state.refusal) return *state.refusal;
  const auto access = vault_access(home);
  if (!access) return access.error();
  auto vault = store::Vault::open(home.root, *access);
  if (!vault) {
    if (vault.error().code == Errc::refused) state.refusal = vault.error();
    return vault.error();
  }
  state.vault = std::move(*vault);
  return &*state.vault;
}

Error not_stored(store::Vault& vault, const std::string& name, const std::string& profile) {
  const auto stored = vault.names(profile);
  std::vector<std::string_view> names;
  std::string list;
  if (stored) {
    for (const std::string& other : *stored) {
      names.emplace_back(other);
      list += (list.empty() ? "" : ", ") + other;
    }
  }
  std::string text = "no credential '" + printable(name) + "' is stored";
  if (const auto meant = nearest(name, names))
    text += ", did you mean '" + std::string(*meant) + "'?";
  return Error{Errc::not_found, text + " (stored: " + (list.empty() ? "none" : list) + ")"};
}

Result<store::Vault::Held> held_secrets(const Home& home) {
  store::Vault::Held held;
  if (!store::Vault::exists(home.root)) return held;
  const auto vault = open_vault(home);
  if (vault) return (*vault)->held();
  if (vault.error().code != Errc::refused) return vault.error();
  held.closed.push_back(vault.error());
  return held;
}

}  // namespace moat
