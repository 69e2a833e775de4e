// Vault: secrets sealed at rest, AES-256-GCM, one file each, in $MOAT_HOME/credentials.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/crypto.h"
#include "core/loop.h"
#include "core/result.h"
#include "core/secret.h"
#include "store/sealed_file.h"
#include "store/vault_key.h"

namespace moat::store {

class Vault {
 public:
  // `home` is $MOAT_HOME. Makes directories (0700) and the key where they are missing: see
  // vault_key.h for where that is. Errc::denied when the key file or a directory is readable by
  // others or owned by somebody else (the message has the chmod that mends it), and where the key
  // is not kept as access.wanted says; Errc::refused without the right passphrase; Errc::busy where
  // rekey() is under way or was interrupted. Blocks.
  static Result<Vault> open(const std::string& home, const KeyAccess& access = {});

  // Every secret of every profile, and why one could not be opened. Without a vault there are none,
  // and nothing is made.
  struct Held {
    std::vector<Secret> secrets;
    std::vector<Error> closed;
  };
  static Result<Held> held(const std::string& home, const KeyAccess& access = {});
  [[nodiscard]] Result<Held> held();
  static bool exists(const std::string& home);

  // Seals all there is with a new key, kept as access.wanted says, or as the old one is. Nothing is
  // changed unless every credential opens. Killed at any moment, it leaves a vault that refuses to
  // open until it is called again, and then nothing is lost. Gives the number of credentials.
  static Result<size_t> rekey(const std::string& home, const KeyAccess& access);

  ~Vault();
  Vault(Vault&& other) noexcept;
  Vault& operator=(Vault&& other) noexcept;

  // Once rekey() has been, put() and get() fetch the new key: at once, but for one in the Secret
  // Service, which is asked on the loop of serve_on(), and until it has answered they fail with
  // Errc::busy. A new passphrase is not asked for: Errc::denied, as where the service is locked.
  //
  // Whoever serves others on `loop` says so; nullptr when that is over, and at the latest before
  // the loop is gone. Where the service has refused, it is asked again after that while, for each
  // time somebody may see a window.
  void serve_on(Loop* loop, Milliseconds again = std::chrono::minutes(2));

  // The name and profile are associated data: a file moved to another name does not open. Written
  // atomically, 0600. Errc::busy while rekey() is under way.
  Result<void> put(const Sealed& sealed);
  // Errc::not_found; Errc::tampered when it was changed, swapped, cut or sealed by another key.
  Result<Sealed> get(const std::string& name, const std::string& profile);
  Result<void> remove(const std::string& name, const std::string& profile);
  struct Place {
    std::string name;
    std::string profile;
  };
  Result<std::vector<Place>> places();  // of every credential; sorted, the default profile first
  Result<std::vector<std::string>> names(const std::string& profile);  // sorted
  Result<std::vector<std::string>> profiles();  // sorted; the default, "", not among them

 private:
  struct Asked;
  Vault();
  static Vault with_key(const std::string& home, const KeyRecord& record, Secret key);
  // Has now the key that everything is sealed with; false where it had it before.
  Result<bool> follow_key();
  Result<Secret> fetch_changed(const KeyRecord& record, const Digest& state);
  [[nodiscard]] Result<void> write(const Sealed& sealed) const;
  std::string home_;
  std::string directory_;
  Secret key_;
  Digest key_state_{};  // of what the key file says
  Loop* loop_ = nullptr;
  Milliseconds again_{};
  std::unique_ptr<Asked> asked_;  // of the Secret Service; depends-on: loop_
};

// The installation's signing key: $MOAT_HOME/audit/key.pem (0600) and key.pub, made at first use.
Result<SigningKey> open_signing_key(const std::string& home);
Result<std::string> read_public_key(const std::string& home);  // PEM
// That, and those that signed before it was changed.
Result<std::vector<std::string>> read_public_keys(const std::string& home);
// A new key from now on; the public half of the old one stays in $MOAT_HOME/audit/old. Runs that
// live go on with the key that they have. Gives the new one. Errc::busy where another process is
// about the same.
Result<SigningKey> rotate_signing_key(const std::string& home);

}  // namespace moat::store
