// The vault's key: 32 random bytes, and where they are kept between two processes. Private to the
// vault, but for the choice of the place.
//
// $MOAT_HOME/credentials.key is either the key itself, or a JSON object that says where to look:
//   {"name":"moat:ID","source":"keyring","version":1}
//   {"name":"moat:ID","source":"secret-service","version":1}
//   {"kdf":"scrypt","salt":HEX,"sealed":HEX,"source":"passphrase","version":1,"work":17}
// ID is made of the key, so that another one under that name is noticed. `sealed` is the key in
// AES-256-GCM under what the passphrase gives; kdf, work and salt are its associated data.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/loop.h"
#include "core/passphrase.h"
#include "core/result.h"
#include "core/secret.h"
#include "store/secret_service.h"

namespace moat::store {

enum class KeySource { file, keyring, passphrase, secret_service };
const char* word_of(KeySource source);
std::optional<KeySource> key_source(std::string_view word);

// For what a passphrase is asked.
enum class PassphraseFor {
  opening,    // the one that was chosen
  choosing,   // a new one
  finishing,  // the one that was chosen for a change of the key that was interrupted
};

struct KeyAccess {
  // Where a new key goes, and an old one must be; absent: a file, and wherever it is.
  std::optional<KeySource> wanted;
  // Asked where there is a passphrase to be known. Its errors are given on; where it is not set,
  // that is Errc::refused.
  std::function<Result<Secret>(PassphraseFor)> passphrase;
};

// What a file of the key says.
struct KeyRecord {
  KeySource source = KeySource::file;
  Secret key;           // file
  std::string name;     // keyring, secret service
  PassphraseCost cost;  // passphrase, all three
  std::string salt;
  std::string sealed;

  [[nodiscard]] std::string text() const;  // wipe it
};

// Errc::tampered for what moat has not written.
Result<KeyRecord> parse_key_record(std::string_view bytes);
// The file at `path`, with the checks of read_private_file().
Result<KeyRecord> read_key_record(const std::string& path);

// A new key, kept where `source` says. `choosing` as in KeyAccess.
struct MadeKey {
  Secret key;
  KeyRecord record;
};
Result<MadeKey> make_key(KeySource source, const KeyAccess& access);
// The key that `record`, which is in `path`, leads to. Errc::refused: the passphrase is not given
// or not the one, or the Secret Service is locked.
Result<Secret> fetch_key(const KeyRecord& record, const std::string& path, const KeyAccess& access,
                         PassphraseFor what);
// Fetches the key from the Secret Service, to which `record` must lead, on a loop that serves
// others meanwhile. `done` is called once, from the loop.
class KeyQuestion {
 public:
  using Done = std::function<void(Result<Secret>)>;
  KeyQuestion(Loop& loop, const KeyRecord& record, const std::string& path, Done done);

 private:
  SecretServiceQuestion question_;
};
// Takes a key that is not used any more out of the keyring or the Secret Service; nothing
// elsewhere.
void forget_key(const KeyRecord& record);

}  // namespace moat::store
