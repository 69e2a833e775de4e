#include "store/vault_key.h"

#include <utility>

#include "core/crypto.h"
#include "core/json.h"
#include "core/text.h"
#include "store/kernel_keyring.h"
#include "store/private_file.h"

namespace moat::store {
namespace {

constexpr size_t key_size = 32;
constexpr size_t salt_size = 16;
constexpr size_t sealed_size = key_size + 28;
constexpr size_t max_record = 1024;
constexpr size_t id_size = 8;
constexpr std::string_view name_prefix = "moat:";

constexpr struct {
  KeySource source;
  const char* word;
} sources[] = {
    {KeySource::file, "file"},
    {KeySource::keyring, "keyring"},
    {KeySource::passphrase, "passphrase"},
    {KeySource::secret_service, "secret-service"},
};

const char* word_of(PassphraseCost::Kind kind) {
  return kind == PassphraseCost::Kind::scrypt ? "scrypt" : "pbkdf2-sha512";
}

std::string name_of(const Secret& key) {
  const Digest digest = sha256({"moat vault key id v1", key.reveal()});
  return std::string(name_prefix) + hex(view(digest).substr(0, id_size));
}

std::string associated_data(const KeyRecord& record) {
  return format("moat vault key v1 %s %u ", word_of(record.cost.kind), record.cost.work) +
         record.salt;
}

Result<Secret> ask(const KeyAccess& access, PassphraseFor what) {
  if (access.passphrase) return access.passphrase(what);
  return error(Errc::refused, "the vault is locked, and there is nobody to ask for its passphrase");
}

Result<void> read_passphrase_record(const Json& json, KeyRecord& record) {
  const Error bad = error(Errc::tampered, "it is malformed");
  const std::string kdf = json["kdf"].string();
  if (kdf == word_of(PassphraseCost::Kind::scrypt))
    record.cost.kind = PassphraseCost::Kind::scrypt;
  else if (kdf == word_of(PassphraseCost::Kind::pbkdf2))
    record.cost.kind = PassphraseCost::Kind::pbkdf2;
  else
    return bad;
  const int64_t work = json["work"].integer(-1);
  auto salt = from_hex(json["salt"].string());
  auto sealed = from_hex(json["sealed"].string());
  if (work < 0 || work > 1'000'000'000 || !salt || salt->size() != salt_size || !sealed ||
      sealed->size() != sealed_size)
    return bad;
  record.cost.work = static_cast<unsigned>(work);
  record.salt = std::move(*salt);
  record.sealed = std::move(*sealed);
  return {};
}

// What is found under the name of a record must be the key that the name is made of.
Result<Secret> checked(const KeyRecord& record, Result<Secret> key) {
  const bool keyring = record.source == KeySource::keyring;
  if (!key && key.error().code == Errc::not_found)
    return error(Errc::not_found,
                 "%s%s; move the file and the directory 'credentials' beside it away, and grant "
                 "again",
                 key.error().message.c_str(),
                 keyring ? ": it is lost when the machine restarts, and so are the credentials"
                         : ": without it, the credentials cannot be opened");
  if (!key) return key;
  if (key->size() != key_size || name_of(*key) != record.name)
    return error(Errc::tampered, "%s has another key as '%s'",
                 keyring ? "the kernel's keyring" : "the Secret Service", record.name.c_str());
  return key;
}

Result<Secret> key_under_passphrase(const KeyRecord& record, const KeyAccess& access,
                                    PassphraseFor what) {
  const auto passphrase = ask(access, what);
  if (!passphrase) return passphrase.error();
  const auto lock = key_from_passphrase(*passphrase, record.salt, record.cost);
  if (!lock) return lock.error();
  auto key = open_aes256gcm(*lock, record.sealed, associated_data(record));
  if (!key) return error(Errc::refused, "the passphrase is not the right one, or it was changed");
  return key;
}

}  // namespace

const char* word_of(KeySource source) {
  return sources[static_cast<size_t>(source)].word;
}

std::optional<KeySource> key_source(std::string_view word) {
  for (const auto& entry : sources)
    if (word == entry.word) return entry.source;
  return std::nullopt;
}

std::string KeyRecord::text() const {
  if (source == KeySource::file) return std::string(key.reveal());
  Json json = Json::object();
  json.set("version", 1).set("source", word_of(source));
  if (source != KeySource::passphrase)
    json.set("name", name);
  else
    json.set("kdf", word_of(cost.kind))
        .set("work", cost.work)
        .set("salt", hex(salt))
        .set("sealed", hex(sealed));
  return json.canonical() + "\n";
}

Result<KeyRecord> parse_key_record(std::string_view bytes) {
  KeyRecord record;
  // Whatever the bytes are: no object of ours is as short.
  if (bytes.size() == key_size) {
    record.key = Secret(bytes);
    return record;
  }
  if (bytes.empty() || bytes.front() != '{') return error(Errc::tampered, "it is not a key");
  const auto json = Json::parse(bytes);
  if (!json || !json->view().is_object()) return error(Errc::tampered, "it is malformed");
  if ((*json)["version"].integer() != 1)
    return error(Errc::unsupported, "it was written by another version of moat");
  const auto source = key_source((*json)["source"].string());
  if (!source || *source == KeySource::file) return error(Errc::tampered, "it is malformed");
  record.source = *source;
  if (*source == KeySource::passphrase) {
    if (auto read = read_passphrase_record(*json, record); !read) return read.error();
    return record;
  }
  record.name = (*json)["name"].string();
  if (record.name.size() != name_prefix.size() + 2 * id_size ||
      !record.name.starts_with(name_prefix) ||
      !from_hex(std::string_view(record.name).substr(name_prefix.size())))
    return error(Errc::tampered, "it is malformed");
  return record;
}

Result<KeyRecord> read_key_record(const std::string& path) {
  const auto bytes = read_private_file(path, max_record);
  if (!bytes && bytes.error().code == Errc::too_large)
    return error(Errc::tampered, "%s is not a key: restore it from a backup", path.c_str());
  if (!bytes) return bytes.error();
  auto record = parse_key_record(bytes->reveal());
  if (!record)
    return error(record.error().code, "%s cannot be used: %s; restore it from a backup",
                 path.c_str(), record.error().message.c_str());
  return record;
}

Result<MadeKey> make_key(KeySource source, const KeyAccess& access) {
  std::string random = random_bytes(key_size);
  MadeKey made;
  made.key = Secret(random);
  wipe(random);
  made.record.source = source;
  if (source == KeySource::file) {
    made.record.key = made.key.clone();
  } else if (source != KeySource::passphrase) {
    made.record.name = name_of(made.key);
    auto put = source == KeySource::keyring ? put_into_keyring(made.record.name, made.key)
                                            : put_into_secret_service(made.record.name, made.key);
    if (!put) return put.error();
  } else {
    const auto passphrase = ask(access, PassphraseFor::choosing);
    if (!passphrase) return passphrase.error();
    made.record.cost = usual_passphrase_cost();
    made.record.salt = random_bytes(salt_size);
    const auto lock = key_from_passphrase(*passphrase, made.record.salt, made.record.cost);
    if (!lock) return lock.error();
    auto sealed = seal_aes256gcm(*lock, made.key.reveal(), associated_data(made.record));
    if (!sealed) return sealed.error();
    made.record.sealed = std::move(*sealed);
  }
  return made;
}

Result<Secret> fetch_key(const KeyRecord& record, const std::string& path, const KeyAccess& access,
                         PassphraseFor what) {
  auto key = [&]() -> Result<Secret> {
    switch (record.source) {
      case KeySource::keyring:
        return checked(record, get_from_keyring(record.name, key_size));
      case KeySource::secret_service:
        return checked(record, get_from_secret_service(record.name, key_size));
      case KeySource::passphrase:
        return key_under_passphrase(record, access, what);
      case KeySource::file:
        break;
    }
    return record.key.clone();
  }();
  if (!key) return key.error().in(path);
  return key;
}

KeyQuestion::KeyQuestion(Loop& loop, const KeyRecord& record, const std::string& path, Done done)
    : question_(loop, record.name, key_size,
                [name = record.name, path, done = std::move(done)](Result<Secret> got) {
                  KeyRecord asked;
                  asked.source = KeySource::secret_service;
                  asked.name = name;
                  auto key = checked(asked, std::move(got));
                  if (!key) return done(key.error().in(path));
                  done(std::move(key));
                }) {}

void forget_key(const KeyRecord& record) {
  // Where that fails, a key stays there that opens nothing.
  if (record.source == KeySource::keyring) (void)remove_from_keyring(record.name);
  if (record.source == KeySource::secret_service) (void)remove_from_secret_service(record.name);
}

}  // namespace moat::store
