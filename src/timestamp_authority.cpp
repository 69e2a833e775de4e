#include "timestamp_authority.h"

#include <sys/mman.h>

#include <optional>
#include <utility>

#include "core/child.h"
#include "core/crypto.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_ca_file = 1024 * 1024;
constexpr size_t max_output = 4096;
constexpr size_t longest_words = 200;
constexpr Milliseconds limit{20'000};
constexpr int stamp_number = 3;  // of the descriptor that has the stamp

Result<Fd> in_memory(std::string_view bytes) {
  Fd fd(memfd_create("moat-stamp", MFD_CLOEXEC));
  if (!fd) return errno_error("cannot hold a time stamp");
  if (auto written = write_all(fd.get(), bytes); !written) return written.error();
  return fd;
}

// The last part of the first line with an error of openssl's: "…:certificate verify error:…".
std::string reason_in(std::string_view said) {
  for (const std::string_view line : split(said, '\n')) {
    const size_t error = line.find(":error:");
    if (error == std::string_view::npos) continue;
    const auto parts = split(line, ':');
    return printable(trim(parts.back()).substr(0, longest_words));
  }
  return "openssl does not say why";
}

}  // namespace

Result<TimestampAuthority> TimestampAuthority::open(const std::string& ca_file) {
  const auto text = read_file(ca_file, max_ca_file);
  if (!text) return text.error();
  if (text->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
    return error(Errc::invalid, "%s has no certificate in PEM", printable(ca_file).c_str());
  return TimestampAuthority(ca_file);
}

Result<Timestamp> TimestampAuthority::check(std::string_view note, const std::string& der) const {
  const Digest imprint = sha256(note);
  auto stamp = check_timestamp(der, imprint);
  if (!stamp) return error(Errc::tampered, "%s", stamp.error().message.c_str());
  const auto file = in_memory(der);
  if (!file) return file.error();
  CommandSpec spec;
  spec.argv = {"openssl",
               "ts",
               "-verify",
               "-digest",
               hex(view(imprint)),
               "-in",
               "/dev/fd/" + std::to_string(stamp_number),
               "-CAfile",
               ca_file_};
  spec.descriptors = {{file->get(), stamp_number}};
  const auto result = run_command(std::move(spec), limit, max_output);
  if (!result) return result.error().in("time stamps are verified by openssl");
  if (result->status.shell() != 0)
    return error(Errc::tampered, "no authority of %s has signed it: %s",
                 printable(ca_file_).c_str(), reason_in(result->err).c_str());
  return stamp;
}

}  // namespace moat
