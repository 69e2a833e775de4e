#include "core/ssh_certificate.h"

#include "core/ssh_wire.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr std::string_view suffix = "-cert-v01@openssh.com";
constexpr size_t longest_id = 256;

// How many values a public key of a type is made of, its type not counted.
constexpr struct {
  std::string_view type;
  int values;
} kinds[] = {
    {"ssh-ed25519", 1},
    {"ecdsa-sha2-nistp256", 2},
    {"ecdsa-sha2-nistp384", 2},
    {"ecdsa-sha2-nistp521", 2},
    {"ssh-rsa", 2},
    {"sk-ssh-ed25519@openssh.com", 2},
    {"sk-ecdsa-sha2-nistp256@openssh.com", 3},
};

uint64_t read_long(SshReader& reader) {
  const uint64_t high = reader.number();
  return high << 32 | reader.number();
}

}  // namespace

std::string without_certificate(std::string_view type) {
  if (!type.ends_with(suffix)) return std::string(type);
  std::string plain(type.substr(0, type.size() - suffix.size()));
  return plain.starts_with("sk-") ? plain + "@openssh.com" : plain;
}

std::optional<SshCertificate> parse_ssh_certificate(std::string_view blob) {
  SshReader reader(blob);
  const std::string_view type = reader.string();
  if (!type.ends_with(suffix)) return {};
  const std::string plain = without_certificate(type);
  (void)reader.string();  // what makes it differ from any other
  SshCertificate certificate;
  for (const auto& kind : kinds) {
    if (kind.type != plain) continue;
    put_ssh_string(certificate.key, plain);
    for (int i = 0; i < kind.values; ++i) put_ssh_string(certificate.key, reader.string());
  }
  if (certificate.key.empty()) return {};
  (void)read_long(reader);  // serial number
  const uint32_t kind = reader.number();
  certificate.kind = static_cast<SshCertificate::Kind>(kind);
  certificate.id = printable(reader.string().substr(0, longest_id));
  (void)reader.string();  // principals
  certificate.valid_after = read_long(reader);
  certificate.valid_before = read_long(reader);
  // Critical options, extensions, what is reserved, the authority's key, and its signature.
  for (int i = 0; i < 5; ++i) (void)reader.string();
  if (!reader.done() || (kind != 1 && kind != 2)) return {};
  return certificate;
}

}  // namespace moat
