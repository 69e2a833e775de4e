#include "proxy/tls_record.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/text.h"
#include "proxy/crypto_library.h"

namespace moat::proxy {
namespace {

constexpr size_t header_size = 5;
constexpr size_t tag_size = 16;
constexpr size_t max_plain = 16384;  // RFC 5246 6.2.1

// Records in a row that bring no data, and cost us an answer or the work of looking at them: some
// stacks send one empty record before each that is not, none sends many.
constexpr int max_idle_records = 32;

enum Type : unsigned char { change_cipher_spec = 20, alert = 21, handshake = 22, data = 23 };
enum Level : unsigned char { warning = 1, fatal = 2 };
constexpr unsigned char close_notify_alert = 0;
constexpr unsigned char no_renegotiation_alert = 100;

struct CipherFacts {
  const char* name;
  size_t key_size;
  size_t iv_size;     // of the part that the handshake gives
  size_t nonce_size;  // of the part that each record carries
};
// In the order of RecordCipher. RFC 5288 3, RFC 7905 2.
constexpr CipherFacts facts[] = {
    {"AES-128-GCM", 16, 4, 8},
    {"AES-256-GCM", 32, 4, 8},
    {"ChaCha20-Poly1305", 32, 12, 0},
};
const CipherFacts& facts_of(RecordCipher cipher) {
  return facts[static_cast<size_t>(cipher)];
}

struct FaultFacts {
  RecordLayer::Fault fault;
  unsigned char alert;
  const char* words;
};
constexpr FaultFacts faults[] = {
    {RecordLayer::Fault::damaged, 20, "was damaged on its way"},
    {RecordLayer::Fault::oversized, 22, "is longer than TLS allows"},
    {RecordLayer::Fault::malformed, 50, "is malformed"},
    {RecordLayer::Fault::other_version, 70, "is of another version of TLS than was agreed"},
    {RecordLayer::Fault::out_of_place, 10, "is of a kind that does not follow a handshake"},
    {RecordLayer::Fault::annoying, 10, "is one too many without any data"},
};
const FaultFacts& facts_of(RecordLayer::Fault fault) {
  return *std::find_if(std::begin(faults), std::end(faults) - 1,
                       [&](const FaultFacts& row) { return row.fault == fault; });
}

struct Alert {
  int number;
  const char* name;
};
// Those that a peer sends when it does not like us (RFC 8446 6.2).
constexpr Alert alerts[] = {
    {10, "unexpected message"},
    {20, "bad record MAC"},
    {22, "record overflow"},
    {40, "handshake failure: nothing in common"},
    {42, "bad certificate"},
    {43, "unsupported certificate"},
    {44, "certificate revoked"},
    {45, "certificate expired"},
    {46, "certificate unknown"},
    {47, "illegal parameter"},
    {48, "unknown certificate authority"},
    {49, "access denied"},
    {50, "decode error"},
    {51, "decrypt error"},
    {70, "protocol version"},
    {71, "insufficient security"},
    {80, "internal error"},
    {90, "user canceled"},
    {112, "unrecognized name"},
    {116, "certificate required"},
    {120, "no application protocol"},
};

// Fetched once, for that is slow, and kept: libcrypto's own end may come before ours.
const EVP_CIPHER* fetch(RecordCipher cipher) {
  static const EVP_CIPHER* fetched[std::size(facts)];
  const EVP_CIPHER*& known = fetched[static_cast<size_t>(cipher)];
  if (known == nullptr) known = crypto().cipher_fetch(nullptr, facts_of(cipher).name, nullptr);
  return known;
}

unsigned char* octets(char* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}

void put_size(unsigned char* at, size_t size) {
  at[0] = static_cast<unsigned char>(size >> 8);
  at[1] = static_cast<unsigned char>(size);
}

// One direction: an AEAD, and the number of the record that comes next.
class Sequence {
 public:
  bool begin(RecordCipher cipher, bool sealing, const RecordKeys::Direction& keys);
  // Seals or opens `size` bytes, of which `counted` are what the additional data say, in place.
  bool pass(unsigned char type, size_t counted, unsigned char* body, size_t size);

 private:
  CipherContext context_;
  uint64_t next_ = 1;
};

bool Sequence::begin(RecordCipher cipher, bool sealing, const RecordKeys::Direction& keys) {
  const EVP_CIPHER* fetched = fetch(cipher);
  context_.reset(crypto().cipher_ctx_new());
  if (fetched == nullptr || !context_) return false;
  if (crypto().cipher_init(context_.get(), fetched, nullptr, keys.key.data(), nullptr,
                           sealing ? 1 : 0) != 1)
    return false;
  std::array<unsigned char, 12> iv = keys.iv;
  if (facts_of(cipher).nonce_size == 0)
    return crypto().cipher_ctx_ctrl(context_.get(), EVP_CTRL_AEAD_SET_IV_FIXED, iv.size(),
                                    iv.data()) > 0;
  // The whole nonce, which then counts up by itself with each record that is sealed. (Given only
  // the fixed part, libcrypto would begin at random.) The peer's comes with its records.
  memset(iv.data() + 4, 0, 8);
  iv[11] = 1;
  return crypto().cipher_ctx_ctrl(context_.get(), EVP_CTRL_GCM_SET_IV_FIXED, -1, iv.data()) > 0;
}

bool Sequence::pass(unsigned char type, size_t counted, unsigned char* body, size_t size) {
  if (next_ == 0) return false;  // 2^64 records later
  unsigned char additional[EVP_AEAD_TLS1_AAD_LEN];
  for (int i = 0; i < 8; ++i) additional[i] = static_cast<unsigned char>(next_ >> (56 - 8 * i));
  ++next_;
  additional[8] = type;
  additional[9] = additional[10] = 3;
  put_size(additional + 11, counted);
  if (crypto().cipher_ctx_ctrl(context_.get(), EVP_CTRL_AEAD_TLS1_AAD, sizeof additional,
                               additional) != static_cast<int>(tag_size))
    return false;
  return crypto().cipher(context_.get(), body, body, static_cast<unsigned>(size)) >= 0;
}

}  // namespace

RecordKeys::RecordKeys(RecordCipher agreed, bool is_client,
                       const std::array<unsigned char, 88>& block)
    : cipher(agreed) {
  const CipherFacts& sizes = facts_of(agreed);
  const unsigned char* at = block.data();
  Direction* client = is_client ? &to_seal : &to_open;
  Direction* server = is_client ? &to_open : &to_seal;
  for (Direction* side : {client, server}) {
    memcpy(side->key.data(), at, sizes.key_size);
    at += sizes.key_size;
  }
  for (Direction* side : {client, server}) {
    memcpy(side->iv.data(), at, sizes.iv_size);
    at += sizes.iv_size;
  }
}

struct RecordLayer::Impl {
  size_t nonce_size = 0;  // of the explicit part
  size_t fragment = max_plain;
  Sequence sealing;
  Sequence opening;
  int idle_records = 0;

  [[nodiscard]] size_t overhead() const { return nonce_size + tag_size; }
  bool seal_record(unsigned char type, std::string_view plain, char* at);
  void send_alert(Level level, unsigned char description, Buffer& out);
  Fault check_header(const unsigned char* header, size_t body_size) const;
  Fault take_record(unsigned char type, std::string_view plain, Opened& opened, Buffer& answers);
  Fault take_alert(std::string_view plain, Opened& opened);
};

// Writes a record of header, explicit nonce, cipher text and tag to `at`.
bool RecordLayer::Impl::seal_record(unsigned char type, std::string_view plain, char* at) {
  unsigned char* header = octets(at);
  const size_t body_size = plain.size() + overhead();
  header[0] = type;
  header[1] = header[2] = 3;
  put_size(header + 3, body_size);
  memcpy(at + header_size + nonce_size, plain.data(), plain.size());
  return sealing.pass(type, plain.size() + nonce_size, header + header_size, body_size);
}

void RecordLayer::Impl::send_alert(Level level, unsigned char description, Buffer& out) {
  const char body[] = {static_cast<char>(level), static_cast<char>(description)};
  const size_t size = header_size + overhead() + sizeof body;
  if (seal_record(Type::alert, {body, sizeof body}, out.room(size))) out.grew(size);
}

// Before anything is decrypted; what is too long is never waited for.
RecordLayer::Fault RecordLayer::Impl::check_header(const unsigned char* header,
                                                   size_t body_size) const {
  if (header[1] != 3 || header[2] != 3) return Fault::other_version;
  if (body_size < overhead()) return Fault::malformed;
  if (body_size > max_plain + overhead()) return Fault::oversized;
  return Fault::none;
}

RecordLayer::Fault RecordLayer::Impl::take_alert(std::string_view plain, Opened& opened) {
  if (plain.size() != 2) return Fault::malformed;
  const auto level = static_cast<unsigned char>(plain[0]);
  const auto description = static_cast<unsigned char>(plain[1]);
  if (description == close_notify_alert) {
    opened.closed = true;
    return Fault::none;
  }
  if (level == Level::warning) return Fault::none;
  opened.alert = description;
  return Fault::alerted;
}

RecordLayer::Fault RecordLayer::Impl::take_record(unsigned char type, std::string_view plain,
                                                  Opened& opened, Buffer& answers) {
  if (type == Type::data && !plain.empty()) {
    idle_records = 0;
    return Fault::none;
  }
  if (type != Type::data && type != Type::alert && type != Type::handshake)
    return Fault::out_of_place;
  if (++idle_records > max_idle_records) return Fault::annoying;
  if (type == Type::alert) return take_alert(plain, opened);
  // A HelloRequest or a ClientHello: we have shaken hands once and for all (RFC 5246 7.2.2).
  if (type == Type::handshake) send_alert(Level::warning, no_renegotiation_alert, answers);
  return Fault::none;
}

RecordLayer::RecordLayer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RecordLayer::~RecordLayer() = default;

std::unique_ptr<RecordLayer> RecordLayer::create(const RecordKeys& keys) {
  if (!load_crypto()) return nullptr;
  auto impl = std::make_unique<Impl>();
  impl->nonce_size = facts_of(keys.cipher).nonce_size;
  impl->fragment = std::clamp<size_t>(keys.max_plain, 1, max_plain);
  if (!impl->sealing.begin(keys.cipher, true, keys.to_seal) ||
      !impl->opening.begin(keys.cipher, false, keys.to_open))
    return nullptr;
  return std::unique_ptr<RecordLayer>(new RecordLayer(std::move(impl)));
}

RecordLayer::Opened RecordLayer::open(char* bytes, size_t size, Buffer& answers) {
  Opened opened;
  char* first = nullptr;  // of the plain text, and where it ends
  char* last = nullptr;
  while (opened.fault == Fault::none && !opened.closed && size - opened.taken >= header_size) {
    unsigned char* header = octets(bytes) + opened.taken;
    const size_t body_size = static_cast<size_t>(header[3]) << 8 | header[4];
    opened.fault = impl_->check_header(header, body_size);
    if (opened.fault != Fault::none) break;
    if (size - opened.taken - header_size < body_size) break;
    if (!impl_->opening.pass(header[0], body_size, header + header_size, body_size)) {
      opened.fault = Fault::damaged;
      break;
    }
    char* plain = bytes + opened.taken + header_size + impl_->nonce_size;
    const size_t plain_size = body_size - impl_->overhead();
    opened.taken += header_size + body_size;
    opened.fault = impl_->take_record(header[0], {plain, plain_size}, opened, answers);
    if (header[0] != Type::data || plain_size == 0 || opened.fault != Fault::none) continue;
    // The first record's stays where it is; what follows moves up to it.
    if (first == nullptr) {
      first = last = plain;
    } else {
      memmove(last, plain, plain_size);
    }
    last += plain_size;
  }
  if (first != nullptr) opened.plain = {first, static_cast<size_t>(last - first)};
  if (opened.fault != Fault::none && opened.fault != Fault::alerted)
    impl_->send_alert(Level::fatal, facts_of(opened.fault).alert, answers);
  return opened;
}

bool RecordLayer::seal(std::string_view plain, Buffer& out) {
  const size_t overhead = header_size + impl_->overhead();
  const size_t records = (plain.size() + impl_->fragment - 1) / impl_->fragment;
  char* at = out.room(plain.size() + records * overhead);
  while (!plain.empty()) {
    const std::string_view piece = plain.substr(0, impl_->fragment);
    if (!impl_->seal_record(Type::data, piece, at)) return false;
    at += overhead + piece.size();
    out.grew(overhead + piece.size());
    plain.remove_prefix(piece.size());
  }
  return true;
}

void RecordLayer::close_notify(Buffer& out) {
  impl_->send_alert(Level::warning, close_notify_alert, out);
}

const char* fault_text(RecordLayer::Fault fault) {
  return facts_of(fault).words;
}

std::string alert_text(int number) {
  for (const Alert& known : alerts) {
    if (known.number == number) return known.name;
  }
  return format("number %d", number);
}

}  // namespace moat::proxy
