#include "audited.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <utility>

#include "core/text.h"
#include "print.h"
#include "store/proof.h"
#include "store/vault.h"

namespace moat {
namespace {

using store::Verdict;

constexpr size_t max_key = 16 * 1024;
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

Result<std::vector<std::string>> trusted_keys(const Arguments& arguments, const Home& home) {
  std::vector<std::string> pems;
  if (const auto file = arguments.value("key")) {
    auto pem = read_file(*file, max_key);
    if (!pem) return pem.error();
    pems.push_back(std::move(*pem));
  } else {
    auto kept = store::read_public_keys(home.root);
    if (!kept) return kept.error();
    pems = std::move(*kept);
  }
  std::vector<std::string> keys;
  for (const std::string& pem : pems) {
    auto der = public_key_der(pem);
    if (!der) return der.error();
    keys.push_back(std::move(*der));
  }
  return keys;
}

Result<std::string> signer_of(store::RecordReader& reader, const std::vector<std::string>& keys) {
  const auto newest = store::newest_checkpoint(reader);
  if (!newest) return newest.error();
  if (!*newest) return keys.front();
  for (const std::string& key : keys) {
    if (store::read_checkpoint((*newest)->note, key)) return key;
  }
  return keys.front();
}

std::string time_of_record(store::RecordReader& reader, uint64_t seq) {
  const auto found = reader.audit(seq, 1);
  if (!found || found->empty() || found->front().seq != seq) return "";
  const auto json = Json::parse(found->front().json);
  return json ? (*json)["time"].string() : "";
}

const char* word_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::valid:
      return "valid";
    case Verdict::Kind::incomplete:
      return "incomplete";
    case Verdict::Kind::tampered:
      return "tampered";
  }
  return "";
}

std::string upper_word_of(Verdict::Kind kind) {
  std::string word = word_of(kind);
  for (char& c : word) c = static_cast<char>(c - 'a' + 'A');
  return word;
}

int status_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::valid:
      return exit_ok;
    case Verdict::Kind::incomplete:
      return exit_incomplete;
    case Verdict::Kind::tampered:
      return exit_failed;
  }
  return exit_failed;
}

std::string plural(uint64_t count, const char* word) {
  return format("%" PRIu64 " %s%s", count, word, count == 1 ? "" : "s");
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
  if (written.error().code == Errc::closed) end_for_want_of_a_reader();
  return written.error().in(name_);
}

Result<void> Destination::finish() {
  if (auto flushed = flush(); !flushed) return flushed;
  return file_ ? file_->keep() : Result<void>();
}

}  // namespace moat
