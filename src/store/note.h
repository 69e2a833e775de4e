// Checkpoints: signed tree heads as C2SP signed notes (c2sp.org/signed-note,
// c2sp.org/tlog-checkpoint).
#pragma once

#include <string>
#include <string_view>

#include "core/crypto.h"
#include "core/result.h"
#include "store/record.h"

namespace moat::store {

struct Checkpoint {
  std::string origin;  // "moat.run/<run id>"
  TreeHead head;
};

// The key's name in signature lines, and its id: for ECDSA (signature type 0x02 of signed-note) the
// first 4 bytes of SHA-256(SubjectPublicKeyInfo).
extern const char* const note_key_name;                    // "moat"
std::string note_key_id(std::string_view public_key_der);  // 8 hex digits

Result<std::string> write_checkpoint(const Checkpoint& checkpoint, const SigningKey& key);
// What a note says, whoever signed it: to be believed of nobody. Errc::invalid for what is none.
Result<Checkpoint> parse_checkpoint(std::string_view note);
// Errc::tampered unless a signature of this key is there and right.
Result<Checkpoint> read_checkpoint(std::string_view note, std::string_view public_key);

}  // namespace moat::store
