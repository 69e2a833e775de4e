#include "audited.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "core/text.h"

namespace moat {
namespace {

constexpr size_t max_buffer = 256 * 1024;

}  // namespace

Result<Audited> open_audited(const Arguments& arguments, size_t operand) {
  const auto home = open_home();
  if (!home) return home.error();
  const auto& operands = arguments.operands();
  auto run = find_run(*home, operand < operands.size() ? operands[operand] : "");
  if (!run) return run.error();
  auto reader = store::RecordReader::open(run->directory);
  if (!reader) return reader.error().in("run " + run->facts.id);
  return Audited{*home, std::move(*run), std::move(*reader)};
}

Result<uint64_t> record_number(std::string_view text, const std::string& where) {
  const auto number = parse_number(text, 0, UINT64_MAX - 1);
  if (number) return *number;
  return error(Errc::invalid, "%s wants the number of a record, not '%s'", where.c_str(),
               printable(text).c_str());
}

int complain_of_record(const Error& error) {
  return complain(error, error.code == Errc::not_found ? exit_incomplete : exit_failed);
}

Result<Destination> Destination::open(const std::optional<std::string>& name) {
  if (!name || *name == "-") return Destination("standard output");
  Destination destination(*name);
  struct stat info {};
  if (stat(name->c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    destination.fd_ = Fd(::open(name->c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (!destination.fd_) return errno_error("cannot write to %s", name->c_str());
    return destination;
  }
  auto file = AtomicFile::create(*name, 0600);
  if (!file) return file.error();
  destination.file_.emplace(std::move(*file));
  return destination;
}

int Destination::descriptor() const {
  if (file_) return file_->descriptor();
  return fd_ ? fd_.get() : STDOUT_FILENO;
}

Result<void> Destination::write(std::string_view bytes) {
  buffer_.append(bytes);
  return buffer_.size() < max_buffer ? Result<void>() : flush();
}

Result<void> Destination::flush() {
  auto written = write_all(descriptor(), buffer_);
  buffer_.clear();
  if (written) return written;
  if (written.error().code == Errc::closed) {
    // Whoever read us has had enough: end as a program does that never heard of SIGPIPE.
    (void)signal(SIGPIPE, SIG_DFL);
    (void)raise(SIGPIPE);
  }
  return written.error().in(name_);
}

Result<void> Destination::finish() {
  if (auto flushed = flush(); !flushed) return flushed;
  return file_ ? file_->keep() : Result<void>();
}

}  // namespace moat
