// RecordLayer: TLS 1.2 records after the handshake (RFC 5246 6.2.3.3), opened and sealed where they
// lie, with an AEAD of libcrypto's beneath. It knows nothing of handshakes and refuses new ones.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/buffer.h"
#include "core/secret.h"

namespace moat::proxy {

enum class RecordCipher { aes_128_gcm, aes_256_gcm, chacha20_poly1305 };

// What a handshake leaves behind for the records after it.
struct RecordKeys {
  struct Direction {
    std::array<unsigned char, 32> key{};  // AES-128 uses the first half
    std::array<unsigned char, 12> iv{};   // GCM uses the first 4 bytes (RFC 5288 3)
    ~Direction() { wipe(this, sizeof *this); }
  };
  RecordCipher cipher = RecordCipher::aes_128_gcm;
  Direction to_seal;
  Direction to_open;
  size_t max_plain = 16384;  // bytes in a record that we send, if the peer has asked for fewer

  // From the key block of RFC 5246 6.3: the keys of client and server, then their IVs.
  RecordKeys(RecordCipher agreed, bool is_client, const std::array<unsigned char, 88>& block);
};

class RecordLayer {
 public:
  // Header, explicit nonce, plain text and tag of the longest record that is read.
  static constexpr size_t max_record = 5 + 8 + 16384 + 16;

  // Both directions go on with record number 1: number 0 was the Finished message.
  // nullptr where libcrypto is missing, or has not this cipher.
  static std::unique_ptr<RecordLayer> create(const RecordKeys& keys);
  ~RecordLayer();

  enum class Fault {
    none,
    damaged,        // or sealed with other keys, or not at its place in the sequence
    oversized,      // more plain text than a record may hold
    malformed,      // too short, or an alert that is none
    other_version,  // 1.2 was agreed
    out_of_place,   // of a type that does not come after a handshake
    annoying,       // too many in a row that bring nothing
    alerted,        // the peer has ended the connection: Opened::alert says why
  };
  struct Opened {
    size_t taken = 0;        // bytes of whole records, from the front
    std::string_view plain;  // what they held, in one piece, somewhere in those bytes
    bool closed = false;     // the last of them was the peer's close_notify
    Fault fault = Fault::none;
    int alert = 0;
  };
  // Opens all whole records at the front of `bytes`, as far as the first that ends the connection;
  // then it must not be called again. What has to be said to the peer is appended to `answers`.
  Opened open(char* bytes, size_t size, Buffer& answers);
  // Appends records to `out`. False if the cipher fails, which only a broken libcrypto does.
  [[nodiscard]] bool seal(std::string_view plain, Buffer& out);
  void close_notify(Buffer& out);

 private:
  struct Impl;
  explicit RecordLayer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Words for what is wrong with a record: "was damaged on its way". Not for `none` and `alerted`.
const char* fault_text(RecordLayer::Fault fault);
// The name of an alert (RFC 8446 6), or "number 99".
std::string alert_text(int number);

}  // namespace moat::proxy
